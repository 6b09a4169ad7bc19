package dynamofake

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"unicode"
)

// expression reads DynamoDB's expressions: conditions, updates, projections. Names are attributes at the top of an item.
type expression struct {
	toks   []string
	names  map[string]string
	values map[string]value
	item   item
}

func parse(text string, names map[string]string, values map[string]value, on item) *expression {
	e := &expression{names: names, values: values, item: on}
	for i := 0; i < len(text); {
		c := rune(text[i])
		switch {
		case unicode.IsSpace(c):
			i++
		case strings.ContainsRune("(),+-", c):
			e.toks = append(e.toks, string(c))
			i++
		case strings.ContainsRune("=<>", c):
			n := 1
			if i+1 < len(text) && (text[i:i+2] == "<=" || text[i:i+2] == ">=" || text[i:i+2] == "<>") {
				n = 2
			}
			e.toks = append(e.toks, text[i:i+n])
			i += n
		default:
			j := i
			for j < len(text) && !unicode.IsSpace(rune(text[j])) && !strings.ContainsRune("(),+-=<>", rune(text[j])) {
				j++
			}
			e.toks = append(e.toks, text[i:j])
			i = j
		}
	}
	return e
}

type invalid struct{ message string }

func (e invalid) Error() string { return e.message }

func (e *expression) fail(format string, args ...any) {
	panic(invalid{"Invalid expression: " + fmt.Sprintf(format, args...)})
}

func (e *expression) peek() string {
	if len(e.toks) == 0 {
		return ""
	}
	return e.toks[0]
}

func (e *expression) next() string {
	if len(e.toks) == 0 {
		e.fail("it ends too soon")
	}
	t := e.toks[0]
	e.toks = e.toks[1:]
	return t
}

func (e *expression) expect(t string) {
	if got := e.next(); !strings.EqualFold(got, t) {
		e.fail("%q where %q belongs", got, t)
	}
}

func (e *expression) is(word string) bool { return strings.EqualFold(e.peek(), word) }

// name reads an attribute's name.
func (e *expression) name() string {
	t := e.next()
	if strings.HasPrefix(t, "#") {
		n, ok := e.names[t]
		if !ok {
			e.fail("the name %s is not given", t)
		}
		return n
	}
	if strings.HasPrefix(t, ":") || reserved[strings.ToUpper(t)] {
		e.fail("Attribute name is a reserved keyword; reserved keyword: %s", t)
	}
	return t
}

// reserved are the words among those that a store may want to use (the service has 573).
var reserved = map[string]bool{
	"COUNT": true, "DATA": true, "DATE": true, "EVENT": false, "KEY": true, "KEYS": true, "NAME": true, "OWNER": true, "POSITION": true,
	"SOURCE": true, "STATE": true, "STATUS": true, "STREAM": true, "TIME": true, "TIMESTAMP": true, "TYPE": true, "UNTIL": true, "VALUE": true, "VALUES": true,
	"TTL": true, "TABLE": true, "ITEMS": true, "FROM": true, "TO": true, "HASH": true, "RANGE": true, "ROLE": true, "ROW": true, "LOG": true, "FIRST": true, "LAST": true,
	"BEGIN": true, "END": true, "LIST": true, "MAP": true, "NUMBER": true, "OFFSET": true, "SIZE": true, "TEXT": true, "USER": true, "ID": false,
}

// operand reads a name, a value or a function that gives one; nil: the item has it not.
func (e *expression) operand() value {
	switch t := e.peek(); {
	case strings.HasPrefix(t, ":"):
		e.next()
		v, ok := e.values[t]
		if !ok {
			e.fail("the value %s is not given", t)
		}
		return v
	case strings.EqualFold(t, "size"):
		e.next()
		e.expect("(")
		v := e.item[e.name()]
		e.expect(")")
		if v == nil {
			return nil
		}
		return number(big.NewRat(int64(v.size()), 1))
	case strings.EqualFold(t, "if_not_exists"):
		e.next()
		e.expect("(")
		v := e.item[e.name()]
		e.expect(",")
		other := e.operand()
		e.expect(")")
		if v == nil {
			return other
		}
		return v
	case strings.EqualFold(t, "list_append"):
		e.next()
		e.expect("(")
		a := e.operand()
		e.expect(",")
		b := e.operand()
		e.expect(")")
		var x, y []json.RawMessage
		_ = json.Unmarshal(a["L"], &x)
		_ = json.Unmarshal(b["L"], &y)
		raw, _ := json.Marshal(append(x, y...))
		return value{"L": raw}
	}
	return e.item[e.name()]
}

// condition evaluates the whole text; "" is true.
func (e *expression) condition() bool {
	if len(e.toks) == 0 {
		return true
	}
	ok := e.or()
	if len(e.toks) > 0 {
		e.fail("%q is left over", e.peek())
	}
	return ok
}

func (e *expression) or() bool {
	ok := e.and()
	for e.is("OR") {
		e.next()
		right := e.and()
		ok = ok || right
	}
	return ok
}

func (e *expression) and() bool {
	ok := e.not()
	for e.is("AND") {
		e.next()
		right := e.not()
		ok = ok && right
	}
	return ok
}

func (e *expression) not() bool {
	if e.is("NOT") {
		e.next()
		return !e.not()
	}
	if e.is("(") {
		e.next()
		ok := e.or()
		e.expect(")")
		return ok
	}
	switch strings.ToLower(e.peek()) {
	case "attribute_exists", "attribute_not_exists":
		want := strings.EqualFold(e.next(), "attribute_exists")
		e.expect("(")
		_, there := e.item[e.name()]
		e.expect(")")
		return there == want
	case "begins_with":
		e.next()
		e.expect("(")
		a := e.operand()
		e.expect(",")
		b := e.operand()
		e.expect(")")
		return a != nil && a.kind() == b.kind() && strings.HasPrefix(a.text(), b.text())
	}
	a := e.operand()
	op := strings.ToUpper(e.next())
	switch op {
	case "BETWEEN":
		low := e.operand()
		e.expect("AND")
		high := e.operand()
		x, ok1 := compare(a, low)
		y, ok2 := compare(a, high)
		return ok1 && ok2 && x >= 0 && y <= 0
	case "IN":
		found := false
		e.expect("(")
		for {
			v := e.operand()
			found = found || (a != nil && equal(a, v))
			if t := e.next(); t == ")" {
				return found
			}
		}
	}
	b := e.operand()
	if a == nil || b == nil {
		return op == "<>" && (a != nil) != (b != nil)
	}
	c, ordered := compare(a, b)
	switch op {
	case "=":
		return equal(a, b)
	case "<>":
		return !equal(a, b)
	case "<":
		return ordered && c < 0
	case "<=":
		return ordered && c <= 0
	case ">":
		return ordered && c > 0
	case ">=":
		return ordered && c >= 0
	}
	e.fail("%q is no operator", op)
	return false
}

// update gives the item as the expression changes it.
func (e *expression) update() item {
	out := e.item.clone()
	for len(e.toks) > 0 {
		switch clause := strings.ToUpper(e.next()); clause {
		case "SET":
			e.each(func() {
				n := e.name()
				e.expect("=")
				v := e.operand()
				for e.peek() == "+" || e.peek() == "-" {
					op, w := e.next(), e.operand()
					if v == nil || w == nil || v.number() == nil || w.number() == nil {
						panic(invalid{"The provided expression refers to an attribute that does not exist in the item"})
					}
					if r := new(big.Rat); op == "+" {
						v = number(r.Add(v.number(), w.number()))
					} else {
						v = number(r.Sub(v.number(), w.number()))
					}
				}
				if v == nil {
					panic(invalid{"The provided expression refers to an attribute that does not exist in the item"})
				}
				out[n] = v
			})
		case "REMOVE":
			e.each(func() { delete(out, e.name()) })
		case "ADD":
			e.each(func() {
				n := e.name()
				by := e.operand().number()
				if old := out[n].number(); old != nil {
					by = new(big.Rat).Add(by, old)
				}
				out[n] = number(by)
			})
		default:
			e.fail("%q begins no clause", clause)
		}
	}
	return out
}

func (e *expression) each(fn func()) {
	for fn(); e.peek() == ","; fn() {
		e.next()
	}
}

// projection gives the names of attributes; nil: all.
func (e *expression) projection() []string {
	if len(e.toks) == 0 {
		return nil
	}
	var names []string
	e.each(func() { names = append(names, e.name()) })
	return names
}
