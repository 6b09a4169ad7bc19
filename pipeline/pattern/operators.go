package pattern

import "math"

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
