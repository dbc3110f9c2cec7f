-- What each move does, as supersoniq/core/rules.py says, and what time does by itself. Made only
-- when something calls for it: most calls find nothing due and nothing out of the ordinary.

local function make_rules()
    -- What there is to a record, and then the rules.
    local R = make_records()
    local load, moved, encode, tell = R.load, R.moved, R.encode, R.tell
    local STATUSES, WAITING = R.STATUSES, R.WAITING

    -- Forget ids that are not to be known any longer, a share of them each time.
    local function prune_imports()
        for _, name in ipairs(call('ZRANGEBYSCORE', IMPORTS, '-inf', whole(now), 'LIMIT', 0, STEPS)) do
            local sequence = R.known(name, true)
            if sequence then
                call('ZADD', IMPORTS, whole(now + IMPORTS_KNOWN), name)
                call('HSET', IMPORTED, name, pack('>I5I8', sequence, now + IMPORTS_KNOWN))
            else
                call('ZREM', IMPORTS, name)
                call('HDEL', IMPORTED, name)
            end
        end
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
        prune_imports()
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
