-- What every script of a queue begins with: its keys, the time, the queue's own hash, and how
-- records are read and written. docs/redis.md describes the keys and their formats.
--
-- KEYS are all keys of one queue, in the order below, and nothing else is ever touched.
-- ARGV[1] is the instant in milliseconds, or '' for the server's clock, which is what is sent
-- unless a test brings a clock of its own. ARGV[2] is the channel of those who wait.
-- ARGV[3..6] are a number, a base, a policy and its terms for a queue that may have to be made; or ''.
--
-- An error in the middle of a script is not rolled back, so everything is checked before the first
-- write, and a message leaves one place and enters the next without anything between that could fail.

local QUEUE, CONTENT, STATE, LINE, OWN, LEASED, DUE, EXPIRY, KEPT, USES, WINDOWS, PAGES, LOG, IMPORTED, IMPORTS = unpack(KEYS)
local call, pack, unpack_bytes = redis.call, struct.pack, struct.unpack
local sub, floor = string.sub, math.floor
local NEVER = math.huge

local now = tonumber(ARGV[1])
if not now then
    local time = call('TIME')
    now = time[1] * 1000 + floor(time[2] / 1000)
end

local function whole(number)
    return string.format('%.0f', number)
end

local row = call('HMGET', QUEUE, 'number', 'base', 'sequence', 'next', 'paused', 'stirs', 'terms', 'watches')
local exists = row[1] and true
local queue = {
    number = row[1] or ARGV[3],
    base = row[2] or ARGV[4],
    sequence = tonumber(row[3]) or 0,
    next = tonumber(row[4]) or NEVER,
    -- When a pause ends: false without one.
    paused = row[5] and row[5] ~= '' and (tonumber(row[5]) or NEVER),
    stirs = tonumber(row[6]) or 0,
    -- Kind of event to {until when it is recorded, from which offset on}; nil while nobody watches.
    watches = row[8] and row[8] ~= '' and cmsgpack.unpack(row[8]) or nil,
}
local stirs_before, next_before = queue.stirs, queue.next
local raw_terms = row[7] or ARGV[6]
local changes = {}
local tally = {}

local known_terms
local function terms()
    if not known_terms then
        local t = cmsgpack.unpack(raw_terms)
        known_terms = {
            lease = t[1], max_deliveries = t[2], dedup_window = t[3], keep_done = t[4], keep_dead = t[5],
            max_length = t[6], max_content = t[7], expiry_kills = t[8],
            initial = t[9], factor = t[10], maximum = t[11], jitter = t[12],
        }
    end
    return known_terms
end

-- Count arcs of the state table, by their names.
local function count(arc, times)
    tally[arc] = (tally[arc] or 0) + (times or 1)
end

local function change(field, value)
    changes[#changes + 1] = field
    changes[#changes + 1] = value
end

local function at_latest(instant)
    if instant < queue.next then queue.next = instant end
end

-- The first write decides whether the server refuses: with no memory left it does so for what may
-- grow the data set, unless something has been written before. So what frees memory begins with this.
local function go_on_without_memory()
    call('HDEL', QUEUE, '')
end

-- Write the queue's hash. Everybody who waits is told if there is a reason to look again.
local function save()
    if queue.next ~= next_before then
        change('next', queue.next == NEVER and '' or whole(queue.next))
    end
    if queue.stirs ~= stirs_before then change('stirs', whole(queue.stirs)) end
    if #changes > 0 then call('HSET', QUEUE, unpack(changes)) end
    for arc, times in pairs(tally) do
        call('HINCRBY', QUEUE, arc, times)
    end
    if queue.stirs ~= stirs_before then
        call('PUBLISH', ARGV[2], queue.number .. ' ' .. whole(queue.stirs))
    end
end

-- Every script answers in this form: a word, the instant, the queue's number, base and stirs, when
-- time will change something (-1: it will not), and what the verb gives.
local function answer(word, result)
    local alarm = queue.next == NEVER and -1 or queue.next
    return {word, now, queue.number, queue.base, whole(queue.stirs), alarm, result}
end

-- Messages are counted in pages of 256 sequences, so that those who look at all of them pass over
-- what is long gone. A page's score is 512 times its number and how many messages are left in it.
local function turn_pages(pages, sign)
    for page, messages in pairs(pages) do
        local base = page * 512
        local score = tonumber(call('ZINCRBY', PAGES, sign * messages, page))
        if score < base then
            call('ZINCRBY', PAGES, base, page)
        elseif score == base then
            call('ZREM', PAGES, page)
        end
    end
end

-- A line's member: the rank (32767 less the priority), then the sequence. All scores are 0, so
-- members stand in the order of their bytes, which is the order of delivery.
local function id_of(sequence)
    return pack('>I5', sequence)
end

-- An id as it is sent, in three arguments (sequence, instant, rest), as one name.
local function name_of(at)
    return ARGV[at] .. ':' .. ARGV[at + 1] .. ':' .. ARGV[at + 2]
end

-- The start of what is stored of a message: when it was made, when it expires (0: never), its rank
-- and recipient. The rest is its checksum, details and content, which no script looks into.
local HEAD = 20
local function head_of(blob)
    if not blob or #blob < HEAD then return nil end
    if sub(blob, 19, 20) == '\0\0' then return sub(blob, 1, HEAD) end
    return sub(blob, 1, HEAD + unpack_bytes('>I2', blob, 19))
end

-- What is stored of a message's state: its status (s, r, l, d, x), leases, those of them that are no
-- deliveries, and until when; its head again; and if it did not go straight, what happened to it. A
-- message that was never leased, delayed or dead has no such entry.
local FIXED = 17
local function state_of(status, leases, uncounted, instant)
    return pack('>c1I4I4I8', status, leases, uncounted, instant)
end

-- Forget keys whose window is over, a share of them each time.
local function prune_keys()
    local over = call('ZRANGEBYSCORE', WINDOWS, '-inf', whole(now), 'LIMIT', 0, STEPS)
    if #over > 0 then
        call('HDEL', USES, unpack(over))
        call('ZREM', WINDOWS, unpack(over))
    end
end

-- A command with more arguments than fit on Lua's stack at once.
local MOST_ARGUMENTS = 2000
local function in_parts(command, key, arguments)
    for from = 1, #arguments, MOST_ARGUMENTS do
        call(command, key, unpack(arguments, from, math.min(from + MOST_ARGUMENTS - 1, #arguments)))
    end
end

local function many(key, ids)
    local found = {}
    for from = 1, #ids, MOST_ARGUMENTS do
        local part = call('HMGET', key, unpack(ids, from, math.min(from + MOST_ARGUMENTS - 1, #ids)))
        for i = 1, #part do found[from + i - 1] = part[i] end
    end
    return found
end
