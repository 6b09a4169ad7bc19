package config

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

var typeTextual = reflect.TypeFor[encoding.TextUnmarshaler]()

// isTextual reports whether a type reads itself from text.
func isTextual(t reflect.Type) bool { return reflect.PointerTo(t).Implements(typeTextual) }

// scalar gives the text of a scalar with its ${…} replaced; want says in words what the field takes.
func (c scope) scalar(n *yaml.Node, want string, m mode) (text, bool) {
	if c.tagged(n) {
		return text{}, false
	}
	if n.Kind != yaml.ScalarNode || isNull(n) {
		c.wrongType(n, want)
		return text{}, false
	}
	t, ok := c.interpolate(n, m)
	if t.unknown && c.unknown != nil {
		*c.unknown = true
	}
	return t, ok
}

// tagged reports a !tag: none means anything here, and where an expression stands it was a negation.
func (c scope) tagged(n *yaml.Node) bool {
	if c.isDefault || n.Line == 0 {
		return false
	}
	at := c.f.offset(n.Line, n.Column)
	if at >= len(c.f.text) || c.f.text[at] != '!' || strings.HasPrefix(c.f.text[at:], "!!str ") && n.Kind == yaml.ScalarNode {
		return false
	}
	s := c.f.line(n.Line)
	from := at - c.f.lines[n.Line-1]
	to := len(trimRight(s))
	if i := strings.Index(s[from:], " #"); i >= 0 {
		to = len(trimRight(s[:from+i]))
	}
	if strings.ContainsAny(s[:from], "{[") {
		to = flowEnd(s, from)
	}
	if n.Kind != yaml.ScalarNode {
		to = from + 1
	}
	c.l.add(Diagnostic{File: c.f.name, f: c.f, Line: n.Line, Col: n.Column, EndCol: n.Column + 1, Path: c.path.String(), Code: CodeYAMLTrap, Severity: Error,
		Message: "YAML reads a leading ! as a tag", Hint: toWrite(s, from, to), Related: c.uses})
	return true
}

// got says in words what was written, without what came from a file of secrets.
func (t *text) got() string {
	switch {
	case t.secret:
		return "the value of " + strconv.Quote(shorten(t.node.Value))
	case t.replaced:
		return fmt.Sprintf("%q (from %s)", shorten(t.s), shorten(t.node.Value))
	}
	return strconv.Quote(shorten(t.s))
}

// eventInBraces finds what stands for a part of the event in text that knows no {{ }}.
var eventInBraces = regexp.MustCompile(`\{\{ *(?:data|metadata|id|type|source|subject|time|stream|revision|position)\b[^}]*\}\}`)

// scalarValue decodes a scalar into a field that is one.
func (c scope) scalarValue(n *yaml.Node, v reflect.Value, f *field) bool {
	t := v.Type()
	switch t {
	case typeExpr:
		e, ok := c.expr(n, f)
		v.Set(reflect.ValueOf(e))
		return ok
	case typeText:
		e, ok := c.text(n, f)
		v.Set(reflect.ValueOf(e))
		return ok
	case typeSecret:
		c.hide(n)
		x, ok := c.scalar(n, "text", asText)
		if ok {
			c.l.hidden[x.s] = true
			v.Set(reflect.ValueOf(NewSecret(x.s)))
		}
		return ok
	}
	if isNull(n) && n.Value != "" && contains(f.enum, "null") {
		v.SetString("null") // YAML has the word for itself
		return true
	}
	x, ok := c.scalar(n, wanted(t, f), asText)
	if !ok {
		return false
	}
	textual := isTextual(t)
	plain := t.Kind() == reflect.String && !textual
	if x.unknown && !plain {
		return true // whatever the value is, it is checked where it is known
	}
	if len(f.enum) > 0 && !x.unknown && !contains(f.enum, x.s) {
		hint := suggestOr(x.s, f.enum, "one of ")
		if s := strings.ToLower(x.s); contains(f.enum, s) {
			hint = fmt.Sprintf("did you mean %q?", s)
		}
		c.fail(n, CodeBadValue, fmt.Sprintf("%s cannot be %s", c.name(), x.got()), hint)
		return false
	}
	// Quotes make text of a number or a word, unless a value from outside fills them.
	isQuoted := n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 && !x.replaced
	switch {
	case plain:
		v.SetString(x.s)
		if !c.isDefault && !x.replaced && f != nil && f.doc != "" && eventInBraces.MatchString(x.s) {
			c.warn(n, CodeLooksLikeExpression, fmt.Sprintf("%s is taken as it stands: nothing fills in {{ }} there", c.name()), "")
		}
		return true
	case textual:
		if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(x.s)); err != nil {
			c.fail(n, CodeBadValue, fmt.Sprintf("%s: %v", c.name(), err), "")
			return false
		}
		return true
	case t == typeDuration:
		d, err := parseDuration(x.s)
		if err != nil {
			c.fail(n, CodeWrongType, fmt.Sprintf("%s wants a duration, got %s", c.name(), x.got()), err.Error())
			return false
		}
		v.SetInt(int64(d))
		return c.bounded(n, f, x, float64(d), func(s string) float64 { m, _ := parseDuration(s); return float64(m) })
	case t == typeSize:
		size, err := parseSize(x.s)
		if err != nil {
			c.fail(n, CodeWrongType, fmt.Sprintf("%s wants a size, got %s", c.name(), x.got()), err.Error())
			return false
		}
		v.SetInt(int64(size))
		return c.bounded(n, f, x, float64(size), func(s string) float64 { m, _ := parseSize(s); return float64(m) })
	}
	hint := ""
	switch t.Kind() {
	case reflect.Bool:
		if !isQuoted && (x.s == "true" || x.s == "false") {
			v.SetBool(x.s == "true")
			return true
		}
		switch strings.ToLower(x.s) {
		case "true", "yes", "on", "y", "1":
			hint = "write true"
		case "false", "no", "off", "n", "0":
			hint = "write false"
		}
		if isQuoted && hint != "" {
			hint += ", without quotes"
		}
	case reflect.Float32, reflect.Float64:
		if x, err := strconv.ParseFloat(x.s, t.Bits()); err == nil && !isQuoted && !math.IsNaN(x) && !math.IsInf(x, 0) {
			v.SetFloat(x)
			return c.bounded(n, f, text{s: n.Value, node: n}, x, parseNumber)
		}
	default:
		ok, why := setInt(v, x.s)
		if ok && !isQuoted {
			number, _ := strconv.ParseFloat(x.s, 64)
			return c.bounded(n, f, x, number, parseNumber)
		}
		hint = why
	}
	if isQuoted && hint == "" {
		hint = "without the quotes"
	}
	c.fail(n, CodeWrongType, fmt.Sprintf("%s wants %s, got %s", c.name(), wanted(t, f), x.got()), hint)
	return false
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func parseNumber(s string) float64 {
	x, _ := strconv.ParseFloat(s, 64)
	return x
}

// bounded checks a number against the field's min and max tags; without min it must not be negative.
func (c scope) bounded(n *yaml.Node, f *field, x text, got float64, parse func(string) float64) bool {
	low := 0.0
	if f.min != "" {
		low = parse(f.min)
	}
	switch {
	case got < low && f.min == "":
		c.fail(n, CodeBadValue, fmt.Sprintf("%s cannot be negative, got %s", c.name(), x.got()), "")
	case got < low:
		c.fail(n, CodeBadValue, fmt.Sprintf("%s must be at least %s, got %s", c.name(), f.min, x.got()), "")
	case f.max != "" && got > parse(f.max):
		c.fail(n, CodeBadValue, fmt.Sprintf("%s must be at most %s, got %s", c.name(), f.max, x.got()), "")
	default:
		return true
	}
	return false
}

// wanted says in words what a scalar field takes.
func wanted(t reflect.Type, f *field) string {
	switch t {
	case typeExpr:
		return "an expression"
	case typeDuration:
		return "a duration"
	case typeSize:
		return "a size"
	}
	if f != nil && len(f.enum) > 0 {
		return "one of " + strings.Join(f.enum, ", ")
	}
	if isTextual(t) {
		return "text"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.String, reflect.Struct:
		return "text"
	}
	return "a whole number"
}

// setInt reads a decimal integer into v; the text says why not, where it is worth saying.
func setInt(v reflect.Value, s string) (bool, string) {
	digits := strings.TrimLeft(strings.TrimPrefix(strings.TrimPrefix(s, "-"), "+"), "0123456789_")
	switch {
	case digits == "" && strings.Contains(s, "_"):
		return false, "write " + strings.ReplaceAll(s, "_", "")
	case digits == "" && len(s) > 1 && strings.HasPrefix(s, "0"):
		return false, "without the leading 0, which makes an octal number in YAML 1.1: write " + strings.TrimLeft(s, "0")
	}
	var err error
	switch v.Kind() {
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		var x uint64
		if x, err = strconv.ParseUint(s, 10, v.Type().Bits()); err == nil {
			v.SetUint(x)
		}
	default:
		var x int64
		if x, err = strconv.ParseInt(s, 10, v.Type().Bits()); err == nil {
			v.SetInt(x)
		}
	}
	if errors.Is(err, strconv.ErrRange) {
		return false, "it is out of range"
	}
	return err == nil, ""
}

// parseDuration reads Go's durations, and days: 1d12h.
func parseDuration(s string) (time.Duration, error) {
	rest, days := s, time.Duration(0)
	if head, tail, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseFloat(head, 64)
		if err != nil || math.Abs(n) > 100_000 || math.IsNaN(n) {
			return 0, errors.New("for example 30s, 5m, 1h30m, 2d")
		}
		days, rest = time.Duration(n*24*float64(time.Hour)), tail
		if rest == "" {
			return days, nil
		}
	}
	d, err := time.ParseDuration(rest)
	if err == nil {
		return days + d, nil
	}
	if _, bare := strconv.ParseFloat(s, 64); bare == nil {
		return 0, fmt.Errorf("with its unit, for example %ss or %sms", s, s)
	}
	return 0, errors.New("for example 30s, 5m, 1h30m, 2d")
}

var sizeUnits = []struct {
	name string
	n    int64
}{
	{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"tib", 1 << 40},
	{"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"tb", 1e12}, {"b", 1}, {"", 1},
}

// parseSize reads a number of bytes with or without a unit: 512, 64KiB, 10MB, 1.5GiB.
func parseSize(s string) (Size, error) {
	number := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	unit := strings.ToLower(strings.TrimSpace(s[len(number):]))
	for _, u := range sizeUnits {
		if u.name != unit {
			continue
		}
		x, err := strconv.ParseFloat(number, 64)
		if err != nil || math.IsNaN(x) || math.Abs(x*float64(u.n)) > 1<<62 || x*float64(u.n) != math.Trunc(x*float64(u.n)) {
			break
		}
		return Size(x * float64(u.n)), nil
	}
	if contains([]string{"k", "m", "g", "t"}, unit) && number != "" {
		return 0, fmt.Errorf("write %s%siB (powers of 1024) or %s%sB (of 1000)", number, strings.ToUpper(unit), number, strings.ToUpper(unit))
	}
	return 0, errors.New("for example 512, 64KiB, 10MB")
}

// String gives the shortest exact form.
func (s Size) String() string {
	for _, u := range []struct {
		name string
		n    int64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}} {
		if s != 0 && int64(s)%u.n == 0 {
			return strconv.FormatInt(int64(s)/u.n, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}
