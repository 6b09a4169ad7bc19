package pattern

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	// MaxLength is the longest pattern, in characters without insignificant white space: the limit of EventBridge's API.
	MaxLength = 4096
	// DefaultLength is the longest pattern that EventBridge takes unless an account's quota was raised.
	DefaultLength = 2048
	// maxBranches bounds the combinations that $or spells out.
	maxBranches = 1000
	// maxText bounds the raw text, white space included, before anything is read.
	maxText = 1 << 20
)

// Compile checks and compiles an event pattern, which is JSON text. The error is an *Error with EventBridge's wording and the
// place. Of two lists for one field the later counts, as in EventBridge; Check reports the earlier one.
func Compile(text []byte) (p *Pattern, err error) {
	if len(text) > maxText {
		return nil, newError(text, 0, "", tooLong)
	}
	c := compiler{lex: lexer{text: text}, shadows: map[int32]int32{}}
	defer func() {
		if r := recover(); r != nil {
			s, ok := r.(syntaxError)
			if !ok {
				panic(r)
			}
			p, err = nil, newError(text, s.offset, c.pointer(), s.reason)
		}
	}()
	return c.compile(), nil
}

// CompileString is Compile for a string.
func CompileString(text string) (*Pattern, error) { return Compile([]byte(text)) }

const (
	tooLong    = "Event pattern must have length less than or equal to 4096"
	tooComplex = "Rule is too complex - try using fewer wildcard characters or fewer repeating character sequences after a wildcard character"
)

type compiler struct {
	lex   lexer
	path  []string // of the field, $or left out
	steps []step   // of the JSON pointer
	conds []draft

	shadows map[int32]int32 // the list that replaced a list, in some branch
}

// step is one token of a JSON pointer: a key, or an index where key is empty and index is not negative.
type step struct {
	key   string
	index int
}

// draft is a cond before its field has a number.
type draft struct {
	path string
	cond
}

// conj is a branch in the making: the list that counts for each path.
type conj map[string]int32

func (c *compiler) pointer() string {
	var b strings.Builder
	for _, s := range c.steps {
		b.WriteByte('/')
		if s.index >= 0 {
			b.WriteString(strconv.Itoa(s.index))
			continue
		}
		b.WriteString(pointerEscapes.Replace(s.key))
	}
	return b.String()
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1") // RFC 6901

// fail refuses the pattern at the current token.
func (c *compiler) fail(format string, args ...any) { c.lex.fail(c.lex.start, format, args...) }

func (c *compiler) push(key string) { c.steps = append(c.steps, step{key, -1}) }
func (c *compiler) index(i int)     { c.steps = append(c.steps, step{"", i}) }
func (c *compiler) pop()            { c.steps = c.steps[:len(c.steps)-1] }

func (c *compiler) compile() *Pattern {
	if k := c.lex.next(); k != tokObject {
		c.fail("Filter is not an object")
	}
	branches := c.object(nil, false)
	if c.lex.next() != tokEnd {
		c.fail("Unexpected content after the pattern's closing brace")
	}
	if n := utf8.RuneCount(c.lex.text) - c.lex.spaces; n > MaxLength {
		c.steps = c.steps[:0]
		c.lex.fail(0, "%s", tooLong)
	}
	return c.finish(branches)
}

// object reads the members of an object into the branches so far and returns the branches then. inOr is set inside $or.
func (c *compiler) object(branches []conj, inOr bool) []conj {
	empty := true
	for c.lex.next() != tokObjectEnd {
		empty = false
		name := c.lex.str
		c.push(name)
		if name == "$or" {
			branches = c.or(branches)
			c.pop()
			continue
		}
		if inOr && reserved[name] {
			c.fail("%s is Ruler reserved fieldName which cannot be used inside $or.", name)
		}
		c.path = append(c.path, name)
		switch c.lex.next() {
		case tokObject:
			branches = c.object(branches, inOr)
		case tokArray:
			branches = c.list(branches)
		default:
			c.fail("\"%s\" must be an object or an array", name)
		}
		c.path = c.path[:len(c.path)-1]
		c.pop()
	}
	if empty {
		c.fail("Empty objects are not allowed")
	}
	return branches
}

// reserved holds the names that may not be fields inside $or: the operators, and those kept for later ones.
var reserved = map[string]bool{
	"exactly": true, "equals-ignore-case": true, "prefix": true, "suffix": true, "anything-but": true, "exists": true,
	"wildcard": true, "numeric": true, "cidr": true, "=": true, "<": true, "<=": true, ">": true, ">=": true, "regex": true,
	"not-wildcard": true, "not-equals-ignore-case": true, "date-after": true, "date-on-or-after": true, "date-before": true,
	"date-on-or-before": true, "in-date-range": true, "ip-address-in-range": true, "ip-address-not-in-range": true,
}

// or multiplies the branches so far by the objects of the array.
func (c *compiler) or(before []conj) []conj {
	if c.lex.next() != tokArray {
		c.fail("It must be an Array followed with $or.")
	}
	start := c.lex.start
	var after []conj
	n := 0
	for ; c.lex.next() != tokArrayEnd; n++ {
		c.index(n)
		if c.lex.kind != tokObject {
			c.fail("Only JSON object is allowed in array of $or relationship.")
		}
		copies := make([]conj, 0, max(1, len(before)))
		for _, b := range before {
			m := make(conj, len(b)+2)
			for k, v := range b {
				m[k] = v
			}
			copies = append(copies, m)
		}
		if len(copies) == 0 {
			copies = append(copies, conj{})
		}
		after = append(after, c.object(copies, true)...)
		if len(after) > maxBranches {
			c.lex.fail(start, "Rule is too complex - $or spells out more than %d combinations", maxBranches)
		}
		c.pop()
	}
	if n < 2 {
		c.lex.fail(start, "There must have at least 2 Objects in $or relationship.")
	}
	return after
}

// list reads a field's array of values and operators.
func (c *compiler) list(branches []conj) []conj {
	d := draft{path: strings.Join(c.path, "."), cond: cond{at: c.lex.start, ptr: c.pointer()}}
	var globs []*glob
	for i := 0; c.lex.next() != tokArrayEnd; i++ {
		c.index(i)
		at := c.lex.start
		var a atom
		switch c.lex.kind {
		case tokObject:
			a = c.operator()
		case tokString:
			a = atom{op: opString, text: c.lex.str}
			if ip, ok := parseAddress(c.lex.str); ok {
				a = atom{op: opAddress, text: c.lex.str, low: ip}
			}
		case tokNumber:
			a = atom{op: opNumberText, text: c.lex.str}
			if v, ok := number([]byte(c.lex.str)); ok {
				a.op, a.num = opNumber, v
			}
		case tokTrue:
			a.op = opTrue
		case tokFalse:
			a.op = opFalse
		case tokNull:
			a.op = opNull
		default:
			c.fail("Match value must be String, number, true, false, or null")
		}
		a.at = at
		if a.op == opGlob {
			globs = append(globs, a.glob)
		}
		if a.op == opAbsent {
			d.absent = true
		}
		d.atoms = append(d.atoms, a)
		c.pop()
	}
	if len(d.atoms) == 0 {
		c.fail("Empty arrays are not allowed")
	}
	if len(globs) > 0 && complexity(globs) > maxComplexity {
		c.lex.fail(d.at, "%s", tooComplex)
	}
	d.end = c.lex.at
	id := int32(len(c.conds))
	c.conds = append(c.conds, d)
	if len(branches) == 0 {
		branches = append(branches, conj{})
	}
	for _, b := range branches {
		if old, ok := b[d.path]; ok {
			c.shadows[old] = id
		}
		b[d.path] = id
	}
	return branches
}
