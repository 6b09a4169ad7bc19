package dynamofake

import (
	"encoding/json"
	"strconv"
	"time"
)

// write is one change, alone or in a transaction.
type write struct {
	TableName                           string
	Key, Item                           item
	ConditionExpression                 string
	UpdateExpression                    string
	ExpressionAttributeNames            map[string]string
	ExpressionAttributeValues           map[string]value
	ReturnValues                        string
	ReturnValuesOnConditionCheckFailure string
}

const (
	isPut = iota
	isUpdate
	isDelete
	isCheck
)

// change is a write that was judged: what is to be done, and what it costs.
type change struct {
	t        *table
	key      item
	old, new item // nil: none
	refused  bool
	late     bool // a transaction holds the item
	units    float64
	kind     int
}

func (s *Server) judge(w *write, kind int) (*change, error) {
	t, err := s.table(w.TableName)
	if err != nil {
		return nil, err
	}
	c := &change{t: t, key: w.Key, kind: kind}
	if kind == isPut {
		c.key = w.Item
	}
	h, r, err := t.key(c.key)
	if err != nil {
		return nil, err
	}
	c.old, c.late = t.rows[h][r], t.late[at(h, r)]
	on := c.old
	if on == nil {
		on = item{}
	}
	c.refused = !parse(w.ConditionExpression, w.ExpressionAttributeNames, w.ExpressionAttributeValues, on).condition()
	switch kind {
	case isPut:
		c.new = w.Item
	case isUpdate:
		c.new = parse(w.UpdateExpression, w.ExpressionAttributeNames, w.ExpressionAttributeValues, on).update()
		for k, v := range w.Key {
			c.new[k] = v
		}
	case isCheck:
		c.new = c.old
	}
	if c.new.size() > MaxItem {
		return nil, validation("Item size has exceeded the maximum allowed size")
	}
	c.units = units(max(c.old.size(), c.new.size()), 1<<10)
	return c, nil
}

func (c *change) apply() error {
	switch c.kind {
	case isDelete:
		c.t.drop(c.key)
	case isPut, isUpdate:
		return c.t.put(c.new)
	}
	return nil
}

func (s *Server) one(body []byte, kind int) (any, error) {
	w := read[write](body)
	c, err := s.judge(&w, kind)
	if err != nil {
		return nil, err
	}
	if c.late {
		return nil, refuse("TransactionConflictException", "Transaction is ongoing for the item")
	}
	s.cost.Write += c.units
	if c.refused {
		f := &fault{status: 400, code: "ConditionalCheckFailedException", message: "The conditional request failed"}
		if w.ReturnValuesOnConditionCheckFailure == "ALL_OLD" && c.old != nil {
			f.more = map[string]any{"Item": c.old}
		}
		return nil, f
	}
	if err := c.apply(); err != nil {
		return nil, err
	}
	out := map[string]any{"ConsumedCapacity": map[string]any{"TableName": w.TableName, "CapacityUnits": c.units}}
	switch {
	case w.ReturnValues == "ALL_NEW" && c.new != nil:
		out["Attributes"] = c.new
	case w.ReturnValues == "ALL_OLD" && c.old != nil:
		out["Attributes"] = c.old
	}
	return out, nil
}

func (s *Server) putItem(body []byte) (any, error)    { return s.one(body, isPut) }
func (s *Server) updateItem(body []byte) (any, error) { return s.one(body, isUpdate) }
func (s *Server) deleteItem(body []byte) (any, error) { return s.one(body, isDelete) }

func (s *Server) getItem(body []byte) (any, error) {
	in := read[struct {
		TableName                string
		Key                      item
		ConsistentRead           bool
		ProjectionExpression     string
		ExpressionAttributeNames map[string]string
	}](body)
	t, err := s.table(in.TableName)
	if err != nil {
		return nil, err
	}
	i, err := t.get(in.Key)
	if err != nil {
		return nil, err
	}
	n := s.reads(i.size(), in.ConsistentRead)
	out := map[string]any{"ConsumedCapacity": map[string]any{"TableName": in.TableName, "CapacityUnits": n}}
	if i != nil {
		out["Item"] = i.only(parse(in.ProjectionExpression, in.ExpressionAttributeNames, nil, nil).projection())
	}
	return out, nil
}

// reads counts a read.
func (s *Server) reads(size int, consistent bool) float64 {
	n := units(size, 4<<10)
	if !consistent {
		n /= 2
	}
	s.cost.Read += n
	return n
}

func (s *Server) batchGet(body []byte) (any, error) {
	in := read[struct {
		RequestItems map[string]struct {
			Keys                     []item
			ConsistentRead           bool
			ProjectionExpression     string
			ExpressionAttributeNames map[string]string
		}
	}](body)
	responses, unprocessed := map[string][]item{}, map[string]any{}
	count, size := 0, 0
	used := []map[string]any{}
	for name, r := range in.RequestItems {
		t, err := s.table(name)
		if err != nil {
			return nil, err
		}
		var left []item
		responses[name] = []item{}
		n := 0.0
		seen := map[string]bool{}
		for _, k := range r.Keys {
			if count++; count > 100 {
				return nil, validation("Too many items requested for the BatchGetItem call")
			}
			h, rk, err := t.key(k)
			if err != nil {
				return nil, err
			}
			if seen[h+"\x00"+rk] {
				return nil, validation("Provided list of item keys contains duplicates")
			}
			seen[h+"\x00"+rk] = true
			i := t.rows[h][rk]
			if size += i.size(); size > 16<<20 || s.plan.skips() {
				left = append(left, k)
				continue
			}
			n += s.reads(i.size(), r.ConsistentRead)
			if i != nil {
				responses[name] = append(responses[name], i.only(parse(r.ProjectionExpression, r.ExpressionAttributeNames, nil, nil).projection()))
			}
		}
		if len(left) > 0 {
			unprocessed[name] = map[string]any{"Keys": left, "ConsistentRead": r.ConsistentRead}
		}
		used = append(used, map[string]any{"TableName": name, "CapacityUnits": n})
	}
	return map[string]any{"Responses": responses, "UnprocessedKeys": unprocessed, "ConsumedCapacity": used}, nil
}

func (s *Server) batchWrite(body []byte) (any, error) {
	type request struct {
		PutRequest    *struct{ Item item } `json:",omitempty"`
		DeleteRequest *struct{ Key item }  `json:",omitempty"`
	}
	in := read[struct{ RequestItems map[string][]request }](body)
	unprocessed := map[string][]request{}
	count := 0
	used := []map[string]any{}
	for name, list := range in.RequestItems {
		t, err := s.table(name)
		if err != nil {
			return nil, err
		}
		total := 0.0
		seen := map[string]bool{}
		for _, r := range list {
			if count++; count > 25 {
				return nil, validation("Too many items requested for the BatchWriteItem call")
			}
			w, kind := &write{TableName: name}, isDelete
			if r.PutRequest != nil {
				w.Item, kind = r.PutRequest.Item, isPut
			} else {
				w.Key = r.DeleteRequest.Key
			}
			c, err := s.judge(w, kind)
			if err != nil {
				return nil, err
			}
			h, rk, _ := t.key(c.key)
			if seen[h+"\x00"+rk] {
				return nil, validation("Provided list of item keys contains duplicates")
			}
			seen[h+"\x00"+rk] = true
			if c.late || s.plan.skips() {
				unprocessed[name] = append(unprocessed[name], r)
				continue
			}
			s.cost.Write += c.units
			total += c.units
			if err := c.apply(); err != nil {
				return nil, err
			}
		}
		used = append(used, map[string]any{"TableName": name, "CapacityUnits": total})
	}
	return map[string]any{"UnprocessedItems": unprocessed, "ConsumedCapacity": used}, nil
}

// reason is why a transaction was cancelled, for one of its items.
type reason struct {
	Code    string
	Message string `json:",omitempty"`
	Item    item   `json:",omitempty"`
}

func (s *Server) transact(body []byte) (any, error) {
	in := read[struct {
		TransactItems      []struct{ Put, Update, Delete, ConditionCheck *write }
		ClientRequestToken string
	}](body)
	if len(in.TransactItems) == 0 || len(in.TransactItems) > MaxTransact {
		return nil, validation("Member must have length less than or equal to %d, and greater than or equal to 1", MaxTransact)
	}
	request := canonical(body)
	if t := in.ClientRequestToken; t != "" {
		if s.begun[t] {
			return nil, refuse("TransactionInProgressException", "The transaction with the given request token is already in progress.")
		}
		if old, known := s.tokens[t]; known && old == request {
			return map[string]any{}, nil
		} else if known {
			return nil, refuse("IdempotentParameterMismatchException", "the token was used for another request")
		}
	}
	changes := make([]*change, len(in.TransactItems))
	reasons := make([]reason, len(changes))
	seen := map[string]bool{}
	bad, bytes, total := false, 0, 0.0
	for n, x := range in.TransactItems {
		w, kind := x.Put, isPut
		switch {
		case x.Update != nil:
			w, kind = x.Update, isUpdate
		case x.Delete != nil:
			w, kind = x.Delete, isDelete
		case x.ConditionCheck != nil:
			w, kind = x.ConditionCheck, isCheck
		}
		c, err := s.judge(w, kind)
		if err != nil {
			return nil, err
		}
		h, r, _ := c.t.key(c.key)
		if at := w.TableName + "\x00" + h + "\x00" + r; seen[at] {
			return nil, validation("Transaction request cannot include multiple operations on one item")
		} else {
			seen[at] = true
		}
		bytes += c.new.size()
		total += 2 * c.units
		changes[n], reasons[n] = c, reason{Code: "None"}
		switch {
		case c.late || (!c.refused && s.plan.conflicts()):
			bad = true
			reasons[n] = reason{Code: "TransactionConflict", Message: "Transaction is ongoing for the item"}
		case c.refused:
			bad = true
			reasons[n] = reason{Code: "ConditionalCheckFailed", Message: "The conditional request failed"}
			if w.ReturnValuesOnConditionCheckFailure == "ALL_OLD" {
				reasons[n].Item = c.old
			}
		}
	}
	if bytes > MaxBytes {
		return nil, validation("Collection of items in the transaction exceeds the limit of 4 MB")
	}
	if !bad && !s.plan.affords(total) {
		bad = true
		reasons[0] = reason{Code: "ThrottlingError", Message: "Throughput exceeds the current capacity of your table or index"}
		total = 0
	}
	s.cost.Write += total
	if bad {
		codes := ""
		for i, r := range reasons {
			if i > 0 {
				codes += ", "
			}
			codes += r.Code
		}
		return nil, &fault{status: 400, code: "TransactionCanceledException", more: map[string]any{"CancellationReasons": reasons},
			message: "Transaction cancelled, please refer cancellation reasons for specific reasons [" + codes + "]"}
	}
	if in.ClientRequestToken != "" {
		s.tokens[in.ClientRequestToken] = request
	}
	if err := s.appear(changes, in.ClientRequestToken); err != nil {
		return nil, err
	}
	return map[string]any{"ConsumedCapacity": []map[string]any{{"CapacityUnits": total}}}, nil
}

// appear makes the items of a committed transaction visible: at once, or some of them later. Meanwhile others are served.
func (s *Server) appear(changes []*change, token string) error {
	late, by := s.plan.parts(len(changes))
	var rest []*change
	for n, c := range changes {
		if late[n] {
			rest = append(rest, c)
		} else if err := c.apply(); err != nil {
			return err
		}
	}
	if len(rest) == 0 {
		return nil
	}
	hold := func(yes bool) {
		for _, c := range rest {
			h, r, _ := c.t.key(c.key)
			if c.t.late == nil {
				c.t.late = map[string]bool{}
			}
			c.t.late[at(h, r)] = yes
		}
	}
	hold(true)
	s.begun[token] = true
	s.mu.Unlock()
	<-time.After(by)
	s.mu.Lock()
	delete(s.begun, token)
	hold(false)
	for _, c := range rest {
		if err := c.apply(); err != nil {
			return err
		}
	}
	return nil
}

// search is a Query or a Scan.
type search struct {
	TableName, IndexName                                           string
	KeyConditionExpression, FilterExpression, ProjectionExpression string
	ExpressionAttributeNames                                       map[string]string
	ExpressionAttributeValues                                      map[string]value
	ScanIndexForward                                               *bool
	ConsistentRead                                                 bool
	Limit                                                          *int
	ExclusiveStartKey                                              item
	Select                                                         string
	Segment, TotalSegments                                         *int
}

func (s *Server) query(body []byte) (any, error) {
	in := read[search](body)
	if in.KeyConditionExpression == "" {
		return nil, validation("Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.")
	}
	return s.search(&in)
}

func (s *Server) scan(body []byte) (any, error) {
	in := read[search](body)
	return s.search(&in)
}

// partitions gives the rows that a search looks at: one partition where the condition names one of the table's.
func (t *table) partitions(in *search) map[string]map[string]item {
	e := parse(in.KeyConditionExpression, in.ExpressionAttributeNames, in.ExpressionAttributeValues, nil)
	if in.IndexName == "" && len(e.toks) >= 3 && e.toks[1] == "=" && e.name() == t.hash {
		h := hash(in.ExpressionAttributeValues[e.toks[1]])
		return map[string]map[string]item{h: t.rows[h]}
	}
	return t.rows
}

func (s *Server) search(in *search) (any, error) {
	t, err := s.table(in.TableName)
	if err != nil {
		return nil, err
	}
	h, r := t.hash, t.sort
	if in.IndexName != "" {
		x, ok := t.indexes[in.IndexName]
		if !ok {
			return nil, validation("The table does not have the specified index: %s", in.IndexName)
		}
		if in.ConsistentRead {
			return nil, validation("Consistent reads are not supported on global secondary indexes")
		}
		h, r = x.hash, x.sort
	}
	found, ok := t.ordered(in)
	if !ok {
		if found, err = t.found(in, h, r); err != nil {
			return nil, err
		}
	}
	out := map[string]any{}
	items := []item{}
	size, scanned := 0, 0
	for n, i := range found {
		size += i.size()
		scanned++
		if parse(in.FilterExpression, in.ExpressionAttributeNames, in.ExpressionAttributeValues, i).condition() {
			items = append(items, i.only(parse(in.ProjectionExpression, in.ExpressionAttributeNames, nil, nil).projection()))
		}
		if (in.Limit != nil && scanned == *in.Limit) || size >= PageBytes {
			if n < len(found)-1 || (in.Limit != nil && scanned == *in.Limit) {
				last := item{t.hash: i[t.hash]}
				for _, k := range []string{t.sort, h, r} {
					if k != "" {
						last[k] = i[k]
					}
				}
				out["LastEvaluatedKey"] = last
			}
			break
		}
	}
	used := s.reads(size, in.ConsistentRead)
	out["Count"], out["ScannedCount"] = len(items), scanned
	if in.Select != "COUNT" {
		out["Items"] = items
	}
	out["ConsumedCapacity"] = map[string]any{"TableName": in.TableName, "CapacityUnits": json.RawMessage(strconv.FormatFloat(used, 'f', -1, 64))}
	return out, nil
}

// found looks at all rows that a search may mean, in no haste.
func (t *table) found(in *search, h, r string) (found []item, err error) {
	for _, rows := range t.partitions(in) {
		for _, i := range rows {
			if i[h] == nil || (r != "" && i[r] == nil) {
				continue // it is in no index
			}
			if parse(in.KeyConditionExpression, in.ExpressionAttributeNames, in.ExpressionAttributeValues, i).condition() {
				found = append(found, i)
			}
		}
	}
	// A total order, so that a page goes on behind the last one: the index's key, then the table's.
	switch {
	case in.KeyConditionExpression == "":
		sortItems(found, t.sort)
		sortItems(found, t.hash)
	case in.IndexName == "":
		sortItems(found, t.sort)
	default:
		sortItems(found, t.sort)
		sortItems(found, t.hash)
		sortItems(found, r)
	}
	if in.ScanIndexForward != nil && !*in.ScanIndexForward {
		for a, b := 0, len(found)-1; a < b; a, b = a+1, b-1 {
			found[a], found[b] = found[b], found[a]
		}
	}
	if in.ExclusiveStartKey != nil {
		kh, kr, err := t.key(in.ExclusiveStartKey)
		if err != nil {
			return nil, err
		}
		for n, i := range found {
			if ih, ir, _ := t.key(i); ih == kh && ir == kr {
				found = found[n+1:]
				break
			}
		}
	}
	return found, nil
}

// canonical gives a request in one order of its members.
func canonical(body []byte) string {
	var v any
	_ = json.Unmarshal(body, &v)
	b, _ := json.Marshal(v)
	return string(b)
}
