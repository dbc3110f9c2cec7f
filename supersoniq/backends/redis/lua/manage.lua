-- Everything but publish, take and settle: looking at a queue's messages and managing them.
-- ARGV[7] names the verb, the rest are its arguments. Messages are named by three of them: the
-- sequence, the instant they were made at, and the rest of their id, the same for all of a queue.

local verb = ARGV[7]
go_on_without_memory()

if verb == 'configure' then
    -- ARGV[8] is the policy on which the change in ARGV[5] and ARGV[6] is based, '' for no queue.
    if not exists and queue.number == '' then return answer('missing', false) end
    if not tick() then return finish('again', false) end
    local present = exists and call('HGET', QUEUE, 'policy') or ''
    if present ~= ARGV[8] then return finish('ok', present) end
    if not exists then
        for _, pair in ipairs({{'v', VERSION}, {'number', queue.number}, {'base', queue.base},
            {'sequence', 0}, {'log_offset', whole(now * 1024)}, {'log_oldest', whole(now * 1024 + 1)},
            {'log_count', 0}, {'log_bytes', 0}}) do
            change(pair[1], pair[2])
        end
    end
    change('policy', ARGV[5]); change('terms', ARGV[6])
    return finish('ok', false)
end

if not exists then return answer('missing', false) end
if verb == 'describe' then return answer('ok', call('HGET', QUEUE, 'policy')) end
if verb == 'delete' then
    call('UNLINK', unpack(KEYS))
    call('PUBLISH', ARGV[2], 'gone')
    return answer('ok', false)
end
if not tick() then return finish('again', false) end

local R = rules()

-- The record that an id names, or nil.
local function find(at)
    local sequence = R.known(name_of(at))
    local moved = sequence and R.load(id_of(sequence))
    if moved then return moved end
    sequence = tonumber(ARGV[at])
    if ARGV[at + 2] ~= queue.base then return nil end
    local record = R.load(id_of(sequence))
    if record and whole(record.created) == ARGV[at + 1] then return record end
end

local function shown(record)
    return {record.id, call('HGET', STATE, record.id) or '', call('HGET', CONTENT, record.id) or ''}
end

-- Walk over messages in publish order, from a sequence on, a bounded number of pages at a time.
-- ``visit`` says whether to go on. Gives the sequence to go on from, or -1 at the end.
local function walk(from, visit)
    local pages = call('ZRANGEBYSCORE', PAGES, floor(from / 256) * 512, '+inf', 'LIMIT', 0, WALK)
    for _, page in ipairs(pages) do
        local ids = {}
        for sequence = math.max(page * 256, from), page * 256 + 255 do
            ids[#ids + 1] = id_of(sequence)
        end
        local states = call('HMGET', STATE, unpack(ids))
        for i, id in ipairs(ids) do
            local state = states[i]
            local status = state and sub(state, 1, 1) or (call('HEXISTS', CONTENT, id) == 1 and 'r')
            if status and not visit(id, status, state) then
                return unpack_bytes('>I5', id) + 1
            end
        end
    end
    if #pages < WALK then return -1 end
    return (pages[#pages] + 1) * 256
end

local verbs = {}

function verbs.look()
    local record = find(8)
    return record and shown(record) or {}
end

-- status letter or '', the first sequence, the limit; or the id after which to begin
function verbs.browse()
    local wanted, limit = ARGV[8], tonumber(ARGV[10])
    if ARGV[11] then
        local moved = R.known(name_of(11), true)
        if not moved and ARGV[13] ~= queue.base then return 'not found' end
        ARGV[9] = (moved or tonumber(ARGV[11])) + 1
    end
    local page, bytes = {}, 0
    local onwards = limit == 0 and -1 or walk(tonumber(ARGV[9]), function(id, status, state)
        if wanted == '' or wanted == status then
            local content = call('HGET', CONTENT, id) or ''
            page[#page + 1] = id; page[#page + 1] = state or ''; page[#page + 1] = content
            bytes = bytes + #content
        end
        return #page < 3 * limit and bytes < MOST_BYTES
    end)
    return {onwards, page}
end

function verbs.explain()
    local record = find(8)
    if not record then return {} end
    local ahead = 0
    if record.status == 'r' then
        local member = pack('>I2', record.rank) .. record.id
        ahead = call('ZLEXCOUNT', LINE, '-', '(' .. member)
        if record.recipient ~= '' then
            local start = R.own_line(record.recipient)
            ahead = ahead + call('ZLEXCOUNT', OWN, '[' .. start, '(' .. start .. member)
        end
    end
    local paused = queue.paused and (queue.paused == NEVER and 'never' or whole(queue.paused)) or ''
    return {ahead, paused, shown(record)}
end

function verbs.cancel()
    local record = find(8)
    if not record then return 'not found' end
    if record.status == 'l' or record.status == 'd' then return R.STATUSES[record.status] end
    R.cancel(record)
    return 'gone'
end

-- the limit or '', then three arguments for each id
function verbs.redrive()
    local dead = {}
    for at = 9, #ARGV, 3 do
        local record = find(at)
        if not record then return {'not found', (at - 9) / 3} end
        dead[#dead + 1] = record
    end
    for _, record in ipairs(dead) do
        if record.status ~= 'x' then return {R.STATUSES[record.status], 0} end
    end
    local limit = math.min(tonumber(ARGV[8]) or NEVER, #dead)
    for i = 1, limit do R.redrive(dead[i]) end
    return {'moved', limit}
end

-- the limit or '', the first sequence
function verbs.redrive_all()
    local limit, moved = tonumber(ARGV[8]) or NEVER, 0
    local onwards = limit == 0 and -1 or walk(tonumber(ARGV[9]), function(id, status)
        if status == 'x' then
            R.redrive(R.load(id))
            moved = moved + 1
        end
        return moved < limit
    end)
    return {onwards, moved}
end

-- the letters of the statuses, the first sequence, the last one or ''
function verbs.purge()
    local dropped, last = 0, tonumber(ARGV[10]) or queue.sequence
    local onwards = walk(tonumber(ARGV[9]), function(id, status)
        if unpack_bytes('>I5', id) > last then return false end
        if string.find(ARGV[8], status, 1, true) then
            R.purge(R.load(id))
            dropped = dropped + 1
        end
        return true
    end)
    return {onwards > last and -1 or onwards, dropped, whole(last)}
end

-- a letter or '', then three arguments for each id
function verbs.moved_on()
    local dropped = 0
    for at = 9, #ARGV, 3 do
        local record = find(at)
        if record and record.status ~= 'l' and (ARGV[8] == '' or record.status == ARGV[8]) then
            call('HDEL', IMPORTED, name_of(at))
            call('ZREM', IMPORTS, name_of(at))
            R.purge(record)
            dropped = dropped + 1
        end
    end
    return dropped
end

function verbs.pause()
    local duration = tonumber(ARGV[9])
    local instant = duration and now + duration or tonumber(ARGV[8])
    queue.paused = instant or NEVER
    at_latest(queue.paused)
    change('paused', instant and whole(instant) or 'never')
    return false
end

function verbs.resume()
    if queue.paused then change('paused', '') end
    queue.paused = false
    queue.stirs = queue.stirs + 1
    return false
end

function verbs.stats()
    save()
    stirs_before, next_before, changes, tally = queue.stirs, queue.next, {}, {}
    return call('HGETALL', QUEUE)
end

-- What a consumer was given and found damaged: sequence and term of each.
function verbs.corrupt()
    local buried = 0
    for at = 8, #ARGV, 2 do
        local record = R.load(id_of(tonumber(ARGV[at])))
        if record and record.status == 'l' and record.leases == tonumber(ARGV[at + 1]) then
            R.corrupt(record)
            buried = buried + 1
        end
    end
    return buried
end

-- the offset or '', the limit, the kinds; the meaning is core/log.py's
function verbs.follow()
    local since, limit = tonumber(ARGV[8]), tonumber(ARGV[9])
    local stored = call('HMGET', QUEUE, 'log_offset', 'log_oldest')
    local offset = queue.log and queue.log.offset or tonumber(stored[1])
    local oldest = queue.log and queue.log.oldest or tonumber(stored[2])
    local watches, anew = queue.watches or {}, false
    local wanted, begun = {}, 0
    for i = 10, #ARGV do
        wanted[ARGV[i]] = true
        if not R.records(ARGV[i]) then anew = true end
    end
    if anew then
        offset = offset + 1
        if queue.log then queue.log.offset = offset else change('log_offset', whole(offset)) end
    end
    for kind in pairs(wanted) do
        local from = R.records(kind) and watches[kind][2] or offset
        watches[kind] = {now + LINGER, from}
        begun = math.max(begun, from)
    end
    queue.watches = watches
    change('watches', cmsgpack.pack(watches))
    if not since then return {whole(offset), false, {}, 0} end
    local gap = false
    if since < begun or since < oldest - 1 or since > offset then
        local start = offset
        if since <= offset then start = math.max(oldest - 1, math.min(since, offset)) end
        gap, since = whole(start), start
    end
    local found, bytes, from, cut = {}, 0, whole(since + 1), 0
    while #found < limit and cut == 0 do
        local events = call('XRANGE', LOG, from, '+', 'COUNT', 64)
        for _, event in ipairs(events) do
            if #found < limit and cut == 0 and wanted[event[2][2]] then
                found[#found + 1] = {(string.gsub(event[1], '-.*', '')), event[2]}
                bytes = bytes + #event[2][10]
                if bytes > MOST_BYTES then cut = 1 end
            end
        end
        if #events < 64 then break end
        from = '(' .. events[64][1]
    end
    return {whole(offset), gap, found, cut}
end

return finish('ok', verbs[verb]())
