"""The settings of a server: what there is to set, and what is in force.

    model    the declaration, one typed model: the only place where a setting is written down
    naming   what a setting is called as a flag, as a variable and in the file
    load     flags over variables over the file over defaults; refusals that name the place
    flags    the options of a command, from the model
    show     what is in force, an example of the file, the page ``docs/settings.md``

Only ``serve`` and ``config`` import this: it brings pydantic, which other commands would wait for.
"""
