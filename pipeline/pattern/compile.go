package pattern

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
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

// Pattern is a compiled event pattern. It does not change and is safe for concurrent use.
type Pattern struct {
	text     string
	fields   []field  // sorted by path
	conds    []cond   // sorted by field
	branches []branch // any of them matches the event
	root     *node
	envelope [envelopeNames]*node // children of root that Fields holds
	words    int                  // of a bit set over conds
	decided  []uint64             // conds that the envelope of Fields alone satisfies
	absents  []int32              // conds that hold where their field is absent
	shadowed []shadow
}

// field is a path that the pattern names.
type field struct {
	path     string
	segments []string
	conds    []int32
	absent   bool // one of conds asks for its absence
}

// cond is one list of a pattern: the field's leaf is one of atoms.
type cond struct {
	field  int32
	atoms  []atom
	absent bool // holds where the field is absent
	at     int  // offset of the list in the text
	end    int
	ptr    string
}

// branch is one way to match: all its conds at once.
type branch struct {
	conds   []int32 // sorted, so by path
	need    []uint64
	absents bool // one of conds may hold by absence
}

// shadow is a list that another list for the same field replaced.
type shadow struct {
	path        string
	at, winner  int
	ptr, winPtr string
}

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

// String returns the text that was compiled.
func (p *Pattern) String() string { return p.text }

// Paths returns the paths that the pattern names, keys joined by dots, sorted.
func (p *Pattern) Paths() []string {
	paths := make([]string, len(p.fields))
	for i := range p.fields {
		paths[i] = p.fields[i].path
	}
	return paths
}

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

// operator reads an object that stands in a field's list, from behind its brace.
func (c *compiler) operator() atom {
	if c.lex.next() != tokName {
		c.fail("Match expression name not found")
	}
	name := c.lex.str
	c.push(name)
	var a atom
	one := "Only one key allowed in match expression"
	switch name {
	case "exactly":
		a = atom{op: opString, text: c.text("exact")}
	case "prefix", "suffix":
		a = c.affix(name)
	case "equals-ignore-case":
		s := c.text(name)
		a = atom{op: opFold, text: s, fold: fold(s)}
	case "wildcard":
		s := c.text(name)
		a = atom{op: opGlob, text: s, glob: c.glob(s)}
	case "cidr":
		s := c.text("prefix") // the service says prefix
		low, high, reason := parseCIDR(s)
		if reason != "" {
			c.fail("%s", reason)
		}
		a = atom{op: opCIDR, text: s, low: low, high: high}
	case "exists":
		switch c.lex.next() {
		case tokTrue:
			a.op = opExists
		case tokFalse:
			a.op = opAbsent
		default:
			c.fail("exists match pattern must be either true or false.")
		}
	case "numeric":
		one = "Too many elements in numeric expression"
		a = c.numeric()
	case "anything-but":
		one = "Too many elements in numeric expression"
		a = c.anythingBut()
	default:
		c.fail("Unrecognized match type %s", name)
	}
	if c.lex.next() != tokObjectEnd {
		c.fail("%s", one)
	}
	c.pop()
	return a
}

// text reads the string argument of an operator.
func (c *compiler) text(operator string) string {
	if c.lex.next() != tokString {
		c.fail("%s match pattern must be a string", operator)
	}
	return c.lex.str
}

func (c *compiler) glob(s string) *glob {
	g, reason := parseGlob(s)
	if reason != "" {
		c.fail("%s", reason)
	}
	return g
}

// affix reads the argument of prefix or suffix: a string, or an equals-ignore-case object.
func (c *compiler) affix(name string) atom {
	plain, folding, title := opPrefix, opPrefixFold, "Prefix"
	if name == "suffix" {
		plain, folding, title = opSuffix, opSuffixFold, "Suffix"
	}
	switch c.lex.next() {
	case tokString:
		return atom{op: plain, text: c.lex.str}
	case tokObject:
	default:
		c.fail("%s match pattern must be a string", name)
	}
	if c.lex.next() != tokName {
		c.fail("%s expression name not found", title)
	}
	if c.lex.str != "equals-ignore-case" {
		c.fail("Unsupported %s pattern: %s", name, c.lex.str)
	}
	c.push(c.lex.str)
	s := c.text("equals-ignore-case")
	if c.lex.next() != tokObjectEnd {
		c.fail("Only one key allowed in match expression")
	}
	c.pop()
	return atom{op: folding, text: s, fold: fold(s)}
}

// anythingBut reads the argument of anything-but: a string, a number, a list of either, or an object with one operator.
func (c *compiler) anythingBut() atom {
	a := atom{op: opNot}
	k := c.lex.next()
	if k == tokObject {
		if c.lex.next() != tokName {
			c.fail("Anything-But expression name not found")
		}
		a.inner = c.lex.str
		switch a.inner {
		case "prefix", "suffix", "equals-ignore-case", "wildcard":
		default:
			c.fail("Unsupported anything-but pattern: %s", a.inner)
		}
		c.push(a.inner)
		k = c.lex.next()
	}
	if k != tokArray && k != tokString && k != tokNumber {
		c.fail("Value of anything-but must be an array or single string/number value.")
	}
	if k == tokArray {
		strs, nums := false, false
		for i := 0; c.lex.next() != tokArrayEnd; i++ {
			c.index(i)
			x := c.excluded(a.inner)
			a.not = append(a.not, x)
			strs = strs || x.op != opNumber
			nums = nums || x.op == opNumber
			c.pop()
		}
		if a.inner == "" && strs == nums {
			c.fail("Inside anything but list, either all values are number or string, mixed type is not supported")
		}
	} else {
		a.not = append(a.not, c.excluded(a.inner))
	}
	if a.inner != "" {
		if c.lex.next() != tokObjectEnd {
			c.fail("Too many elements in numeric expression")
		}
		c.pop()
	}
	return a
}

// excluded makes an atom of the current token, a value in anything-but.
func (c *compiler) excluded(inner string) atom {
	s, at := c.lex.str, c.lex.start
	if inner == "" {
		switch c.lex.kind {
		case tokString:
			return atom{op: opString, text: s, at: at}
		case tokNumber:
			return atom{op: opNumber, text: s, num: c.double(), at: at}
		}
		c.fail("Inside anything but list, start|null|boolean is not supported.")
	}
	if c.lex.kind != tokString {
		switch inner {
		case "equals-ignore-case":
			c.fail("Inside anything-but/equals-ignore-case list, number|start|null|boolean is not supported.")
		case "wildcard":
			c.fail("wildcard match pattern must be a string")
		}
		c.fail("prefix/suffix match pattern must be a string")
	}
	switch inner {
	case "equals-ignore-case":
		return atom{op: opFold, text: s, fold: fold(s), at: at}
	case "wildcard":
		return atom{op: opGlob, text: s, glob: c.glob(s), at: at}
	}
	if s == "" {
		c.fail("Null prefix/suffix not allowed")
	}
	if inner == "prefix" {
		return atom{op: opPrefix, text: s, at: at}
	}
	return atom{op: opSuffix, text: s, at: at}
}

// double reads the current token, a number, and refuses one that no double holds.
func (c *compiler) double() float64 {
	v, ok := number([]byte(c.lex.str))
	if !ok {
		c.fail("Cannot compare number : %s", c.lex.str)
	}
	return v
}

// numeric reads the array of a numeric operator.
func (c *compiler) numeric() atom {
	if c.lex.next() != tokArray {
		c.fail("Value of numeric must be an array.")
	}
	if c.lex.next() != tokString {
		c.fail("Invalid member in numeric match: %s", c.lex.text[c.lex.start:c.lex.at])
	}
	operator, at := c.lex.str, c.lex.start
	name := operator
	switch operator {
	case "=":
		name = "equals"
	case "<", "<=", ">", ">=":
	default:
		c.lex.next()
		c.lex.fail(at, "Unrecognized numeric range operator: %s", operator)
	}
	bound := func(name string) (float64, bool) {
		if c.lex.next() != tokNumber {
			c.fail("Value of %s must be numeric", name)
		}
		v, ok := number([]byte(c.lex.str))
		return v, ok
	}
	v, ok := bound(name)
	text, at := c.lex.str, c.lex.start
	// What follows is looked at before the number, so that the message is the service's where both are wrong.
	check := func() {
		if !ok {
			c.lex.fail(at, "Cannot compare number : %s", text)
		}
	}
	r := &limits{low: math.Inf(-1), high: math.Inf(1)}
	a := atom{op: opRange, limits: r}
	end := c.lex.next() == tokArrayEnd
	switch operator {
	case "=", "<", "<=":
		if !end {
			c.fail("Too many elements in numeric expression")
		}
		check()
		if operator == "=" {
			return atom{op: opNumber, num: v, text: text}
		}
		r.high, r.openHigh = v, operator == "<"
		return a
	}
	r.low, r.openLow = v, operator == ">"
	if end {
		check()
		return a
	}
	if c.lex.kind != tokString {
		c.fail("Bad value in numeric range: %s", c.lex.text[c.lex.start:c.lex.at])
	}
	operator = c.lex.str
	if operator != "<" && operator != "<=" {
		c.fail("Bad numeric range operator: %s", operator)
	}
	high, highOK := bound(operator)
	highText, highAt := c.lex.str, c.lex.start
	if c.lex.next() != tokArrayEnd {
		c.fail("Too many terms in numeric range expression")
	}
	check()
	if !highOK {
		c.lex.fail(highAt, "Cannot compare number : %s", highText)
	}
	if v >= high {
		c.lex.fail(at, "Bottom must be less than top")
	}
	r.high, r.openHigh = high, operator == "<"
	return a
}

// finish numbers fields and conds in the order of their paths and turns the branches into bit sets.
func (c *compiler) finish(branches []conj) *Pattern {
	p := &Pattern{text: string(c.lex.text)}
	used := make([]bool, len(c.conds))
	for _, b := range branches {
		for _, id := range b {
			used[id] = true
		}
	}
	order := make([]int32, 0, len(c.conds))
	for id := range c.conds {
		if used[id] {
			order = append(order, int32(id))
			continue
		}
		lost, won := c.conds[id], c.conds[c.shadows[int32(id)]]
		p.shadowed = append(p.shadowed, shadow{lost.path, lost.at, won.at, lost.ptr, won.ptr})
	}
	slices.SortStableFunc(order, func(a, b int32) int { return comparePaths(c.conds[a].path, c.conds[b].path) })
	number := make([]int32, len(c.conds))
	for _, old := range order {
		d := c.conds[old]
		if n := len(p.fields); n == 0 || p.fields[n-1].path != d.path {
			p.fields = append(p.fields, field{path: d.path, segments: strings.Split(d.path, ".")})
		}
		f := &p.fields[len(p.fields)-1]
		d.field = int32(len(p.fields) - 1)
		number[old] = int32(len(p.conds))
		f.conds = append(f.conds, number[old])
		if d.absent {
			f.absent = true
			p.absents = append(p.absents, number[old])
		}
		p.conds = append(p.conds, d.cond)
	}
	p.words = (len(p.conds) + 63) / 64
	seen := map[string]bool{}
	for _, b := range branches {
		br := branch{conds: make([]int32, 0, len(b)), need: make([]uint64, p.words)}
		for _, id := range b {
			n := number[id]
			br.conds = append(br.conds, n)
			br.need[n/64] |= 1 << (n % 64)
			br.absents = br.absents || p.conds[n].absent
		}
		slices.Sort(br.conds)
		if len(branches) > 1 {
			key := fmt.Sprint(br.conds)
			if seen[key] {
				continue
			}
			seen[key] = true
		}
		p.branches = append(p.branches, br)
	}
	p.root = newNode()
	for i := range p.fields {
		p.root.insert(p.fields[i].segments).field = int32(i)
	}
	p.decided = make([]uint64, p.words)
	for i, name := range envelope {
		n := p.root.child([]byte(name))
		p.envelope[i] = n
		if n == nil || n.field < 0 || i == envelopeDetail {
			continue
		}
		for _, id := range p.fields[n.field].conds {
			if !p.conds[id].absent {
				p.decided[id/64] |= 1 << (id % 64)
			}
		}
	}
	return p
}

// comparePaths orders paths as Java orders strings, by UTF-16 units. The order decides in which sequence fields of one array
// element are tried, which shows where a field must be absent.
func comparePaths(a, b string) int {
	for i := 0; i < len(a) && i < len(b); i++ {
		if a[i] == b[i] {
			continue
		}
		// The order of UTF-8 bytes differs only between surrogates (4-byte sequences) and U+E000–U+FFFF (3 bytes, from 0xee on).
		x, y := a[i], b[i]
		if x >= 0xf0 && y >= 0xee && y < 0xf0 {
			return -1
		}
		if y >= 0xf0 && x >= 0xee && x < 0xf0 {
			return 1
		}
		return cmp.Compare(x, y)
	}
	return cmp.Compare(len(a), len(b))
}

// listText returns the text of a cond's list.
func (p *Pattern) listText(c *cond) string {
	return string(bytes.TrimSpace([]byte(p.text[c.at:c.end])))
}
