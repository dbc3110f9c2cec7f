"""Clients that mean harm, against the real server, with honest ones beside them.

``python -m benchmarks.abuse`` runs all of it and writes a table. Three kinds of processes take
part, so that none is measured through another one's hiccups: ``supersoniq serve`` with every
protocol on one port (``program``, ``serving``), the honest clients (``honest``), and the one that
attacks, which also watches (``trial``). The attacks are by subject in ``attacks``.
"""
