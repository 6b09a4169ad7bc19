package dynamofake

import (
	"slices"
	"sort"
	"strings"
)

// Sort keys that are strings are kept in their order, so that a query of a large partition costs what it gives.

// place notes a sort key of a partition, displace takes it away.
func (t *table) place(h, r string) {
	if t.order == nil {
		t.order = map[string][]string{}
	}
	keys := t.order[h]
	if at, there := slices.BinarySearch(keys, r); !there {
		t.order[h] = slices.Insert(keys, at, r)
	}
}

func (t *table) displace(h, r string) {
	keys := t.order[h]
	if at, there := slices.BinarySearch(keys, r); there {
		t.order[h] = slices.Delete(keys, at, at+1)
	}
}

// ordered gives what a query of one partition finds, in its direction and behind its start, up to one more than a page
// holds. Ok is false where the query is of another kind: an index, or sort keys that are numbers.
func (t *table) ordered(in *search) (found []item, ok bool) {
	e := parse(in.KeyConditionExpression, in.ExpressionAttributeNames, in.ExpressionAttributeValues, nil)
	if in.IndexName != "" || t.sort == "" || len(e.toks) < 3 || e.toks[1] != "=" || e.name() != t.hash {
		return nil, false
	}
	e.next()
	h := hash(e.operand())
	keys := t.order[h]
	if len(keys) > 0 && !strings.HasPrefix(keys[0], "S:") {
		return nil, false
	}
	low, high := 0, len(keys)
	from := func(v value) { low = max(low, sort.SearchStrings(keys, hash(v))) }
	behind := func(v value) { low = max(low, sort.SearchStrings(keys, hash(v)+"\x00")) }
	if len(e.toks) > 0 {
		if !strings.EqualFold(e.next(), "AND") || len(e.toks) < 3 {
			return nil, false
		}
		if e.is("begins_with") {
			e.next()
			e.next()
			if e.name() != t.sort {
				return nil, false
			}
			e.next()
			from(e.operand())
		} else {
			if e.name() != t.sort {
				return nil, false
			}
			switch op := strings.ToUpper(e.next()); op {
			case "BETWEEN", ">=", "=":
				from(e.operand())
			case ">":
				behind(e.operand())
			case "<":
				high = sort.SearchStrings(keys, hash(e.operand()))
			case "<=":
				high = sort.SearchStrings(keys, hash(e.operand())+"\x00")
			default:
				return nil, false
			}
		}
	}
	backwards := in.ScanIndexForward != nil && !*in.ScanIndexForward
	if start := in.ExclusiveStartKey; start != nil {
		if backwards {
			high = min(high, sort.SearchStrings(keys, hash(start[t.sort])))
		} else {
			behind(start[t.sort])
		}
	}
	size := 0
	for low < high {
		at := low
		if backwards {
			high--
			at = high
		} else {
			low++
		}
		i := t.rows[h][keys[at]]
		if !parse(in.KeyConditionExpression, in.ExpressionAttributeNames, in.ExpressionAttributeValues, i).condition() {
			if backwards {
				continue
			}
			break // a range has one end
		}
		found = append(found, i)
		if size > PageBytes || (in.Limit != nil && len(found) > *in.Limit) {
			break // one more than the page
		}
		size += i.size()
	}
	return found, true
}
