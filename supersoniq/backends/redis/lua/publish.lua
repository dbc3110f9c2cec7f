-- Store messages: any number of publishes to one queue, each all or nothing. The queue is made if need be.
--
-- ARGV[7] is how many publishes there are. Each is three arguments (its messages, the longest of
-- their contents, 1 if any has a key), then two for each message: what is stored of it from the rank
-- on, and '' or its delay, ttl, key and digest.

if not exists and queue.number == '' then return answer('missing', false) end

-- The first write, and one that a server without memory refuses: then nothing has been done.
local refused = redis.pcall('HSET', QUEUE, 'v', VERSION)
if type(refused) == 'table' and refused.err then
    if string.find(refused.err, 'OOM', 1, true) then return answer('no memory', false) end
    return refused
end
if not tick() then return finish('again', false) end

local zero = pack('>I8', 0)
local plain_start = pack('>I8', now) .. zero
local length
local contents, states, line, own, scheduled, expiring, pages = {}, {}, {}, {}, {}, {}, {}

local function flush()
    if #contents == 0 then return end
    in_parts('HSET', CONTENT, contents)
    in_parts('HSET', STATE, states)
    in_parts('ZADD', LINE, line)
    in_parts('ZADD', OWN, own)
    in_parts('ZADD', DUE, scheduled)
    in_parts('ZADD', EXPIRY, expiring)
    turn_pages(pages, 1)
    contents, states, line, own, scheduled, expiring, pages = {}, {}, {}, {}, {}, {}, {}
end

local function size_of(blob)
    local recipient = unpack_bytes('>I2', blob, 3)
    return #blob - 12 - recipient - unpack_bytes('>I4', blob, 9 + recipient)
end

-- The use of a key that still holds: when its message was made, its sequence, its content's digest.
local function use_of(key)
    local use = call('HGET', USES, key)
    if not use then return nil end
    local created, sequence, ends = unpack_bytes('>I8I5I8', use)
    if now >= ends then return nil end
    return {created, sequence, sub(use, 22, 53), sub(use, 54)}
end

-- Gives an error unless all messages of a publish can be stored, and how many would be.
local function admit(first, number, longest, keyed)
    local t, new = terms(), number
    if keyed or longest > t.max_content then
        local batch = {}
        new = 0
        for i = 0, number - 1 do
            local blob, extra = ARGV[first + 2 * i], ARGV[first + 2 * i + 1]
            local size = size_of(blob)
            if size > t.max_content then return {'too large', size, t.max_content} end
            local more = extra ~= '' and cmsgpack.unpack(extra)
            if not more or not more[3] or t.dedup_window == 0 then
                new = new + 1
            else
                local key, digest = more[3], more[4]
                local use = use_of(key)
                local known = use and use[3] or batch[key]
                if known and known ~= digest then
                    return {'conflict', i, use and use[1] or -1, use and use[2] or -1, use and use[4] or ''}
                end
                if not known then new = new + 1 end
                batch[key] = digest
            end
        end
    end
    if t.max_length then
        length = length or call('ZCARD', LINE) + call('ZCARD', OWN) + call('ZCARD', LEASED) + call('ZCARD', DUE)
        if new > 0 and length + new > t.max_length then return {'full', length, new, t.max_length} end
        length = length + new
    end
    if queue.sequence + new > MAX_SEQUENCE then return {'used up'} end
end

local function store(blob, more)
    local sequence = queue.sequence + 1
    queue.sequence = sequence
    local id = id_of(sequence)
    local page = floor(sequence / 256)
    pages[page] = (pages[page] or 0) + 1
    local start = plain_start
    local delay = 0
    if more then
        delay = more[1]
        if more[2] then
            local expires = now + more[2]
            start = sub(plain_start, 1, 8) .. pack('>I8', expires)
            expiring[#expiring + 1] = whole(expires); expiring[#expiring + 1] = id
            at_latest(expires)
        end
    end
    local stored = start .. blob
    contents[#contents + 1] = id; contents[#contents + 1] = stored
    if delay > 0 then
        local head, available = head_of(stored), now + delay
        states[#states + 1] = id
        states[#states + 1] = state_of('s', 0, 0, 0) .. head .. cmsgpack.pack({available, '', false, false})
        scheduled[#scheduled + 1] = whole(available); scheduled[#scheduled + 1] = id
        at_latest(available)
        count('publish:-:scheduled')
    elseif sub(blob, 3, 4) == '\0\0' then
        line[#line + 1] = '0'; line[#line + 1] = sub(blob, 1, 2) .. id
        count('publish:-:ready')
    else
        own[#own + 1] = '0'
        own[#own + 1] = sub(blob, 3, 4 + unpack_bytes('>I2', blob, 3)) .. sub(blob, 1, 2) .. id
        count('publish:-:ready')
    end
    return sequence
end

local function store_keyed(first, number)
    local result = {'each'}
    for i = 0, number - 1 do
        local blob, extra = ARGV[first + 2 * i], ARGV[first + 2 * i + 1]
        local more = extra ~= '' and cmsgpack.unpack(extra) or nil
        local key = more and more[3] and terms().dedup_window > 0 and more[3]
        local use = key and use_of(key)
        if use then
            count('duplicates')
            result[#result + 1] = {use[1], use[2], 1, use[4]}
        else
            local sequence = store(blob, more)
            if key then
                prune_keys()
                local ends = now + terms().dedup_window
                call('HSET', USES, key, pack('>I8I5I8', now, sequence, ends) .. more[4])
                call('ZADD', WINDOWS, whole(ends), key)
            end
            result[#result + 1] = {now, sequence, 0, ''}
        end
    end
    return result
end

local function publish(first, number, longest, keyed)
    local problem = admit(first, number, longest, keyed)
    if problem then return problem end
    local before = queue.sequence
    if not exists then
        exists = true
        local offset = whole(now * 1024)
        for _, pair in ipairs({{'number', queue.number}, {'base', queue.base}, {'policy', ARGV[5]},
            {'terms', raw_terms}, {'log_offset', offset}, {'log_oldest', whole(now * 1024 + 1)},
            {'log_count', 0}, {'log_bytes', 0}}) do
            change(pair[1], pair[2])
        end
    end
    local result
    if keyed then
        result = store_keyed(first, number)
    else
        result = {'all', before + 1}
        for i = first, first + 2 * number - 2, 2 do
            local extra = ARGV[i + 1]
            store(ARGV[i], extra ~= '' and cmsgpack.unpack(extra) or nil)
        end
    end
    queue.stirs = queue.stirs + 1
    if queue.watches and queue.sequence > before then
        flush()
        for sequence = before + 1, queue.sequence do
            rules().tell('published', rules().load(id_of(sequence)))
        end
    end
    return result
end

local results, sequence_before = {}, queue.sequence
local at = 8
for i = 1, tonumber(ARGV[7]) do
    local number = tonumber(ARGV[at])
    results[i] = publish(at + 3, number, tonumber(ARGV[at + 1]), ARGV[at + 2] == '1')
    at = at + 3 + 2 * number
end
flush()
if not exists then
    call('HDEL', QUEUE, 'v')
    return answer('ok', results)
end
if queue.sequence ~= sequence_before then change('sequence', whole(queue.sequence)) end
return finish('ok', results)
