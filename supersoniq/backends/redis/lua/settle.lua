-- End or extend leases. Each of ARGV[7..] is one settlement: a letter (a n r j e, or ? for a receipt
-- that nobody here has issued), the queue's number, the sequence, the term and the last three bytes of
-- the creation time that the receipt names, and perhaps a delay or duration and a reason. The time is
-- compared since a failover can make the server forget a message and give its sequence to another one. Each gets a verdict: 0 done, -1 the lease is lost, or
-- the new deadline.

go_on_without_memory()
if not exists then return answer('missing', false) end
if not tick() then return finish('again', false) end

local DONE, LOST = 0, -1
local mine = pack('>I4', queue.number)
local ack = 'a' .. mine
local verdicts = {}

-- The common case in a few commands: acknowledgements after which nothing is kept or told.
local function acknowledge()
    local seen, ids, places = {}, {}, {}
    for i = 7, #ARGV do
        local item = ARGV[i]
        local id = sub(item, 6, 10)
        if not seen[id] and sub(item, 1, 1) ~= '?' then
            seen[id] = true
            -- Only the first settlement of a message can go this way: the others must see what it did.
            if sub(item, 1, 5) == ack then
                ids[#ids + 1] = id; places[#places + 1] = i
            end
        end
    end
    if #ids == 0 then return end
    local states = many(STATE, ids)
    local held, pages, starts = {}, {}, {}
    for k, id in ipairs(ids) do
        local state = states[k]
        local item = ARGV[places[k]]
        if state and sub(state, 1, 5) == 'l' .. sub(item, 11, 14) and sub(state, 23, 25) == sub(item, 15, 17) then
            held[#held + 1] = id
            verdicts[places[k] - 6] = DONE
            -- All of its sequence but the last eight bits: the page.
            local start = sub(id, 1, 4)
            starts[start] = (starts[start] or 0) + 1
        end
    end
    for start, messages in pairs(starts) do pages[unpack_bytes('>I4', start)] = messages end
    if #held == 0 then return end
    in_parts('HDEL', CONTENT, held)
    in_parts('HDEL', STATE, held)
    in_parts('ZREM', LEASED, held)
    turn_pages(pages, -1)
    count('ack:leased:done', #held)
    count('forget:done:-', #held)
end

-- How a term ended, as a letter, so that repeating a settlement is answered as the first time.
local function repeated(record, term, letter)
    if letter == 'e' then return false end
    local ended = record.leases - (record.status == 'l' and 1 or 0)
    local back = ended - term
    local place = #record.outcomes - back
    return back >= 0 and place >= 1 and sub(record.outcomes, place, place) == letter
end

local function settle(item)
    local R = rules()
    local letter = sub(item, 1, 1)
    if letter == '?' or sub(item, 2, 5) ~= mine then return LOST end
    local record = R.load(sub(item, 6, 10))
    local term = unpack_bytes('>I4', item, 11)
    if not record or term > record.leases then return LOST end
    if sub(pack('>I8', record.created), 6) ~= sub(item, 15, 17) then return LOST end
    if record.status ~= 'l' or record.leases ~= term then
        return repeated(record, term, letter) and DONE or LOST
    end
    local span, reason
    if #item > 17 then span, reason = unpack(cmsgpack.unpack(sub(item, 18))) end
    if letter == 'e' then return R.extend(record, span or nil) end
    if letter == 'a' then
        R.ack(record)
    elseif letter == 'n' then
        R.nack(record, span, reason)
    elseif letter == 'r' then
        R.release(record, span or 0)
    else
        R.reject(record, reason)
    end
    return DONE
end

if terms().keep_done == 0 and not queue.watches then acknowledge() end
for i = 7, #ARGV do
    if not verdicts[i - 6] then
        local verdict = settle(ARGV[i])
        if verdict == LOST then count('stale') end
        verdicts[i - 6] = verdict
    end
end
return finish('ok', verdicts)
