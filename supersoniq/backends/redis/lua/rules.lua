-- What each move does, as supersoniq/core/rules.py says, and what time does by itself. Made only
-- when something calls for it: most calls find nothing due and nothing out of the ordinary.

local function make_rules()
    local R = {}

    -- Records.

    local function decode(id, state)
        local status, leases, uncounted, instant = unpack_bytes('>c1I4I4I8', state)
        local head = head_of(sub(state, FIXED + 1))
        if not head then return nil end
        local created, expires, rank = unpack_bytes('>I8I8I2', head)
        local record = {
            id = id, status = status, leases = leases, uncounted = uncounted, instant = instant,
            created = created, expires = expires, rank = rank, recipient = sub(head, HEAD + 1),
            available = created, outcomes = '', reason = false, failure = false,
        }
        local past = sub(state, FIXED + #head + 1)
        if past ~= '' then
            record.available, record.outcomes, record.reason, record.failure = unpack(cmsgpack.unpack(past))
        end
        return record
    end

    local function encode(record, status)
        local state = state_of(status or record.status, record.leases, record.uncounted, record.instant)
            .. pack('>I8I8I2I2', record.created, record.expires, record.rank, #record.recipient)
            .. record.recipient
        if record.available == record.created and record.outcomes == '' and not record.reason and not record.failure then
            return state
        end
        return state .. cmsgpack.pack({record.available, record.outcomes, record.reason, record.failure})
    end

    local function load(id)
        local state = call('HGET', STATE, id)
        if state then return decode(id, state) end
        local head = head_of(call('HGET', CONTENT, id))
        return head and decode(id, state_of('r', 0, 0, 0) .. head)
    end

    -- Places.

    local function own_line(recipient)
        return pack('>I2', #recipient) .. recipient
    end

    local function place_in_line(record)
        local member = pack('>I2', record.rank) .. record.id
        if record.recipient == '' then return LINE, member end
        return OWN, own_line(record.recipient) .. member
    end

    local PLACES = {s = DUE, l = LEASED, d = KEPT, x = KEPT}
    local STATUSES = {s = 'scheduled', r = 'ready', l = 'leased', d = 'done', x = 'dead'}

    local function records(kind)
        local watch = queue.watches and queue.watches[kind]
        return watch and now < watch[1]
    end

    -- Write an event: the message as it is after the move, or as it last was.
    local function tell(kind, record, was)
        if not records(kind) then return end
        local log = queue.log
        if not log then
            local stored = call('HMGET', QUEUE, 'log_offset', 'log_oldest', 'log_count', 'log_bytes')
            log = {offset = tonumber(stored[1]), oldest = tonumber(stored[2]),
                count = tonumber(stored[3]), bytes = tonumber(stored[4])}
            queue.log = log
        end
        -- In capitals: it is gone, and this is what it was.
        local state = encode(record, record.status or string.upper(was))
        local content = call('HGET', CONTENT, record.id) or ''
        log.offset = log.offset + 1
        call('XADD', LOG, whole(log.offset) .. '-1', 'k', kind, 't', whole(now), 'i', record.id, 's', state, 'm', content)
        log.count = log.count + 1
        log.bytes = log.bytes + #state + #content
        while log.count > CAPACITY or (log.bytes > MOST_BYTES and log.count > 1) do
            local oldest = call('XRANGE', LOG, '-', '+', 'COUNT', 1)[1]
            if not oldest then break end
            call('XDEL', LOG, oldest[1])
            log.oldest = tonumber(string.match(oldest[1], '^%d+')) + 1
            log.count = log.count - 1
            log.bytes = log.bytes - #oldest[2][8] - #oldest[2][10]
        end
        queue.stirs = queue.stirs + 1
    end

    function R.save_log()
        local log = queue.log
        if log then
            change('log_offset', whole(log.offset)); change('log_oldest', whole(log.oldest))
            change('log_count', log.count); change('log_bytes', whole(log.bytes))
        end
    end

    local WAITING = {s = true, r = true}

    -- Put a record where its status belongs now, and tell those who watch.
    local function moved(record, kind, source, was)
        local status, id = record.status, record.id
        if source == 'r' then
            call('ZREM', place_in_line(record))
        else
            call('ZREM', PLACES[source], id)
        end
        if record.expires > 0 and WAITING[source] and not WAITING[status] then
            call('ZREM', EXPIRY, id)
        end
        tell(kind, record, was)
        if not status then
            call('HDEL', CONTENT, id)
            call('HDEL', STATE, id)
            turn_pages({[floor(unpack_bytes('>I5', id) / 256)] = 1}, -1)
            return
        end
        call('HSET', STATE, id, encode(record))
        if status == 'r' then
            local line, member = place_in_line(record)
            call('ZADD', line, 0, member)
            queue.stirs = queue.stirs + 1
        else
            local instant = status == 's' and record.available or record.instant
            call('ZADD', PLACES[status], whole(instant), id)
            at_latest(instant)
        end
        if record.expires > 0 and WAITING[status] then
            if not WAITING[source] then call('ZADD', EXPIRY, whole(record.expires), id) end
            if kind ~= 'due' then at_latest(record.expires) end
        end
    end

    -- Put a record that is new here where its status belongs, and tell those who watch.
    function R.enter(record)
        if record.status ~= 'r' or record.leases > 0 or record.failure or record.available ~= record.created then
            call('HSET', STATE, record.id, encode(record))
        end
        if record.status == 'r' then
            local line, member = place_in_line(record)
            call('ZADD', line, 0, member)
        else
            local instant = record.status == 's' and record.available or record.instant
            call('ZADD', PLACES[record.status], whole(instant), record.id)
            at_latest(instant)
        end
        if record.expires > 0 and WAITING[record.status] then
            call('ZADD', EXPIRY, whole(record.expires), record.id)
            at_latest(record.expires)
        end
        tell('published', record)
    end

    -- The sequence of an id that another store made, if it is known here; ``still``: and not for
    -- longer than it is to be.
    function R.known(name, still)
        local entry = call('HGET', IMPORTED, name)
        if not entry then return nil end
        local sequence, ends = unpack_bytes('>I5I8', entry)
        if still and now >= ends and call('HEXISTS', CONTENT, id_of(sequence)) == 0 then return nil end
        return sequence
    end

    -- The rules. Each takes an arc and does what goes with it.

    local function ended(record, letter, failure)
        record.outcomes = sub(record.outcomes .. letter, -REMEMBERED)
        if failure then record.failure = failure end
    end

    local function bury(record, reason)
        record.reason = reason
        record.instant = now + terms().keep_dead
        record.status = 'x'
        if terms().keep_dead == 0 then
            count('forget:dead:-')
            record.status = nil
        end
    end

    local function at_limit(record)
        local most = terms().max_deliveries
        return most > 0 and most <= record.leases - record.uncounted
    end

    -- CRC-32 of a short text, as zlib's.
    local function crc32(text)
        local crc = -1
        for i = 1, #text do
            crc = bit.bxor(crc, string.byte(text, i))
            for _ = 1, 8 do
                crc = bit.bxor(bit.rshift(crc, 1), bit.band(0xEDB88320, -bit.band(crc, 1)))
            end
        end
        return bit.bnot(crc) % 4294967296
    end

    local function backoff(record)
        local t, deliveries = terms(), record.leases - record.uncounted
        local growth = t.factor ^ math.min(math.max(deliveries, 1) - 1, 1024)
        local wait = growth == NEVER and t.maximum or math.min(t.initial * growth, t.maximum)
        local name = string.format('%.0f:%.0f', unpack_bytes('>I5', record.id), deliveries)
        return floor(wait * (1 - t.jitter * (crc32(name) / 4294967296)) * 1000)
    end

    function R.expire(record)
        local source = record.status
        if terms().expiry_kills then
            count('expire:' .. STATUSES[source] .. ':dead')
            bury(record, 'expired')
        else
            count('expire:' .. STATUSES[source] .. ':-')
            record.status = nil
        end
        moved(record, 'expired', source, source)
    end

    -- A lease has ended: the message goes where it belongs now, or expires.
    local function came_back(record, kind)
        moved(record, kind, 'l', 'x')
        if WAITING[record.status] and record.expires > 0 and now >= record.expires then R.expire(record) end
    end

    function R.ack(record)
        count('ack:leased:done')
        if terms().keep_done > 0 then
            record.status, record.instant = 'd', now + terms().keep_done
            ended(record, 'a')
        else
            count('forget:done:-')
            record.status = nil
        end
        moved(record, 'acked', 'l', 'd')
    end

    function R.nack(record, delay, failure)
        if at_limit(record) then
            count('nack:leased:dead')
            ended(record, 'n', failure)
            bury(record, 'max_deliveries')
        else
            delay = delay or backoff(record)
            record.status = delay > 0 and 's' or 'r'
            count('nack:leased:' .. STATUSES[record.status])
            ended(record, 'n', failure)
            record.available = now + delay
        end
        came_back(record, 'nacked')
    end

    function R.release(record, delay)
        record.status = (delay or 0) > 0 and 's' or 'r'
        count('release:leased:' .. STATUSES[record.status])
        ended(record, 'r')
        record.uncounted = record.uncounted + 1
        record.available = now + (delay or 0)
        came_back(record, 'released')
    end

    function R.reject(record, failure)
        count('reject:leased:dead')
        ended(record, 'j', failure)
        bury(record, 'rejected')
        came_back(record, 'rejected')
    end

    function R.extend(record, duration)
        local deadline = now + (duration or terms().lease)
        if deadline ~= record.instant then
            count('extend:leased:leased')
            record.instant = deadline
            call('HSET', STATE, record.id, encode(record))
            call('ZADD', LEASED, whole(deadline), record.id)
            at_latest(deadline)
            tell('extended', record)
        end
        return deadline
    end

    local function lapse(record)
        local dead = at_limit(record)
        count(dead and 'lapse:leased:dead' or 'lapse:leased:ready')
        ended(record, 'l')
        record.available = record.instant
        record.status = 'r'
        if dead then bury(record, 'max_deliveries') end
        came_back(record, 'lapsed')
    end

    function R.cancel(record)
        local source = record.status
        count('cancel:' .. STATUSES[source] .. ':-')
        record.status = nil
        moved(record, 'cancelled', source, source)
    end

    function R.purge(record)
        local source = record.status
        count('purge:' .. STATUSES[source] .. ':-')
        record.status = nil
        moved(record, 'purged', source, source)
    end

    function R.redrive(record)
        count('redrive:dead:ready')
        record.status, record.available, record.reason = 'r', now, false
        if record.expires > 0 and now >= record.expires then
            record.expires = 0
        end
        record.uncounted = record.leases
        moved(record, 'redriven', 'x')
    end

    function R.corrupt(record)
        local source = record.status
        count('corrupt:' .. STATUSES[source] .. ':dead')
        if source == 'l' then ended(record, 'c') end
        bury(record, 'corrupt')
        moved(record, 'corrupted', source, 'x')
    end

    -- Time.

    -- Messages whose instant in that set has come, at most so many, in the order of their instants.
    -- One whose entries contradict each other has rotted: dropped here, or its timer would ring for ever.
    local left = STEPS
    local function each(set, statuses, rule)
        local ids = call('ZRANGEBYSCORE', set, '-inf', whole(now), 'LIMIT', 0, left)
        for _, id in ipairs(ids) do
            local record = load(id)
            if record and statuses[record.status] then rule(record) else call('ZREM', set, id) end
        end
        left = left - #ids
        return left > 0
    end

    local function forget(record)
        local source = record.status
        count('forget:' .. STATUSES[source] .. ':-')
        record.status = nil
        moved(record, 'forgotten', source, source)
    end

    local function due(record)
        count('due:scheduled:ready')
        record.status = 'r'
        moved(record, 'due', 's')
    end

    local function first(set)
        local head = call('ZRANGE', set, 0, 0, 'WITHSCORES')
        return tonumber(head[2]) or NEVER
    end

    -- Let time catch up. Gives false if there was too much for one call: then come again.
    function R.catch_up()
        local done = each(LEASED, {l = true}, lapse) and each(DUE, {s = true}, due)
            and each(EXPIRY, WAITING, R.expire) and each(KEPT, {d = true, x = true}, forget)
        if not done then
            queue.next = now
            return false
        end
        if queue.paused and now >= queue.paused then
            queue.paused = false
            change('paused', '')
            queue.stirs = queue.stirs + 1
        end
        prune_keys()
        if queue.watches then
            for kind, watch in pairs(queue.watches) do
                if now >= watch[1] then queue.watches[kind] = nil end
            end
            change('watches', next(queue.watches) and cmsgpack.pack(queue.watches) or '')
            if not next(queue.watches) then queue.watches = nil end
        end
        queue.next = math.min(first(LEASED), first(DUE), first(EXPIRY), first(KEPT), queue.paused or NEVER)
        return true
    end

    R.load, R.decode, R.encode, R.tell, R.records, R.own_line = load, decode, encode, tell, records, own_line
    R.STATUSES = STATUSES
    return R
end

local made_rules
local function rules()
    made_rules = made_rules or make_rules()
    return made_rules
end

-- Let time catch up; false: come again.
local function tick()
    return not exists or now < queue.next or rules().catch_up()
end

local function finish(word, result)
    if made_rules then made_rules.save_log() end
    save()
    return answer(word, result)
end
