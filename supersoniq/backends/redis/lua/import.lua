-- Store messages as they stood in another store, each once. The queue is made if need be.
--
-- ARGV[7] says whether a queue that is made is paused: '', 'never' (it does not end) or until when.
-- Then come six arguments for each message: its id's sequence, instant and rest; what is stored of
-- it from the rank on; what else there is to know of it; and its key, or ''.
-- core/imports.py says why there is a book of such ids; here it is IMPORTED, and IMPORTS in the order
-- of the instants until which each is known in any case.

if not exists and queue.number == '' then return answer('missing', false) end

-- The first write, and one that a server without memory refuses: then nothing has been done.
local refused = redis.pcall('HSET', QUEUE, 'v', VERSION)
if type(refused) == 'table' and refused.err then
    if string.find(refused.err, 'OOM', 1, true) then return answer('no memory', false) end
    return refused
end
if not tick() then return finish('again', false) end

local R = rules()

local function own(at)
    return ARGV[at + 2] == queue.base and R.load(id_of(tonumber(ARGV[at])))
end

local fresh, seen = {}, {}
for at = 8, #ARGV, 6 do
    local name = name_of(at)
    if not seen[name] and not R.known(name, true) then
        if own(at) then
            if not exists then call('HDEL', QUEUE, 'v') end
            return finish('ok', 'own')
        end
        seen[name] = true
        fresh[#fresh + 1] = at
    end
end
if queue.sequence + #fresh > MAX_SEQUENCE then return finish('ok', 'used up') end

local before = queue.sequence
if not exists then
    exists = true
    for _, pair in ipairs({{'number', queue.number}, {'base', queue.base}, {'policy', ARGV[5]},
        {'terms', raw_terms}, {'log_offset', whole(now * 1024)}, {'log_oldest', whole(now * 1024 + 1)},
        {'log_count', 0}, {'log_bytes', 0}, {'sequence', 0}}) do
        change(pair[1], pair[2])
    end
    if ARGV[7] ~= '' then
        queue.paused = tonumber(ARGV[7]) or NEVER
        at_latest(queue.paused)
        change('paused', ARGV[7])
    end
end

local STATUS_NAMES = R.STATUSES

for _, at in ipairs(fresh) do
    local name = name_of(at)
    local created, expires, status, deliveries, available, reason, failure, digest = unpack(cmsgpack.unpack(ARGV[at + 4]))
    queue.sequence = queue.sequence + 1
    local id = id_of(queue.sequence)
    call('HSET', IMPORTED, name, pack('>I5I8', queue.sequence, now + IMPORTS_KNOWN))
    call('ZADD', IMPORTS, whole(now + IMPORTS_KNOWN), name)
    if status ~= 'd' and status ~= 'x' then status = available > now and 's' or 'r' end
    count('import:' .. '-:' .. STATUS_NAMES[status])
    local kept = status == 'd' and terms().keep_done or status == 'x' and terms().keep_dead
    if kept == 0 then
        count('forget:' .. STATUS_NAMES[status] .. ':-')
    else
        local stored = pack('>I8I8', created, expires) .. ARGV[at + 3]
        call('HSET', CONTENT, id, stored)
        turn_pages({[floor(queue.sequence / 256)] = 1}, 1)
        local head = head_of(stored)
        R.enter({
            id = id, status = status, leases = deliveries, uncounted = 0, instant = kept and now + kept or 0,
            created = created, expires = expires, rank = unpack_bytes('>I2', head, 17), recipient = sub(head, HEAD + 1),
            available = available, outcomes = '', reason = reason, failure = failure,
        })
    end
    local key, ends = ARGV[at + 5], created + terms().dedup_window
    if key ~= '' and now < ends then
        local use = call('HGET', USES, key)
        if not use or now >= unpack_bytes('>I8', use, 14) then
            prune_keys()
            -- After the digest, the id: the message's own sequence here does not make it.
            call('HSET', USES, key, pack('>I8I5I8', created, queue.sequence, ends) .. digest .. name)
            call('ZADD', WINDOWS, whole(ends), key)
        end
    end
end
if #fresh > 0 then queue.stirs = queue.stirs + 1 end
if queue.sequence ~= before then change('sequence', whole(queue.sequence)) end
return finish('ok', #fresh)
