package config

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// mode says what a scalar is, and so how a value that replaces ${…} is written into it.
type mode uint8

const (
	asText     mode = iota // as it is
	asExpr                 // as a quoted literal of the expression language
	asTemplate             // as it is outside {{ }}, as a quoted literal inside
	asJSON                 // as a JSON string
)

// text is a scalar with its ${…} replaced, and what it takes to find the way back to the file.
type text struct {
	s    string
	node *yaml.Node
	f    *source
	// parts is nil where s is the scalar's value as it stands.
	parts []part
	// unknown: a value was not looked up (Options.NoEnv).
	unknown bool
	// replaced: s holds at least one value from outside; secret: one of them came from a file.
	replaced, secret bool
}

// part says that s[at:] up to the next part comes from node.Value[from:]; all of a fixed part comes from that place.
type part struct {
	at, from int
	fixed    bool
}

// offset gives the offset in the scalar's value for one in s.
func (t *text) offset(at int) int {
	if t.parts == nil {
		return at
	}
	for i := len(t.parts) - 1; i >= 0; i-- {
		p := t.parts[i]
		if at >= p.at {
			if p.fixed {
				return p.from
			}
			return p.from + at - p.at
		}
	}
	return 0
}

// maxFailures bounds what is said of one scalar.
const maxFailures = 5

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// interpolate replaces the ${…} of a scalar's value.
func (c scope) interpolate(n *yaml.Node, m mode) (text, bool) {
	t := text{s: n.Value, node: n, f: c.f}
	if !strings.Contains(n.Value, "${") {
		return t, true
	}
	ok := true
	var b strings.Builder
	lex := lexer{mode: m}
	v := n.Value
	literal := func(from, to int) {
		if from < to {
			t.parts = append(t.parts, part{at: b.Len(), from: from})
			lex.read(v[from:to])
			b.WriteString(v[from:to])
		}
	}
	failed := 0
	fail := func(from, to int, message, hint string) {
		if failed++; failed > maxFailures {
			return
		}
		c.l.span(c, n, from, to, CodeInterpolation, message, hint)
		ok = false
	}
	from := 0
	for {
		i := strings.Index(v[from:], "${")
		if i < 0 {
			literal(from, len(v))
			break
		}
		i += from
		if i > 0 && v[i-1] == '$' && i-1 >= from {
			literal(from, i-1)
			literal(i, i+2)
			from = i + 2
			continue
		}
		literal(from, i)
		end := strings.IndexByte(v[i:], '}')
		if end < 0 {
			fail(i, len(v), "a ${ without its }", "a literal ${ is written $${")
			break
		}
		end += i
		from = end + 1
		ref := v[i+2 : end]
		if strings.Contains(ref, "${") {
			fail(i, end+1, "a ${…} inside another", "defaults are plain text")
			continue
		}
		value, r := c.lookUp(ref)
		switch {
		case r.err != "":
			fail(i, end+1, r.err, r.hint)
			continue
		case r.unknown:
			t.unknown = true
			value = v[i : end+1]
		}
		t.replaced = true
		t.secret = t.secret || r.file
		written, problem := lex.write(value)
		if m == asTemplate && !lex.code && (strings.HasSuffix(value, "{") && strings.HasPrefix(v[from:], "{") || strings.HasSuffix(value, `\`) && strings.HasPrefix(v[from:], "{{")) {
			problem = fmt.Sprintf("the value ends with %s where {{ follows", value[len(value)-1:])
		}
		if problem != "" {
			fail(i, end+1, problem, "")
			continue
		}
		t.parts = append(t.parts, part{at: b.Len(), from: i, fixed: true})
		b.WriteString(written)
	}
	t.s = b.String()
	return t, ok
}

type lookup struct {
	err, hint string
	unknown   bool
	file      bool
}

// lookUp gives the value of what stands between ${ and }.
func (c scope) lookUp(ref string) (string, lookup) {
	l := c.l
	if name, ok := strings.CutPrefix(ref, "file:"); ok {
		switch {
		case name == "":
			return "", lookup{err: "${file:} names no file", hint: "write ${file:/run/secrets/name}"}
		case l.opts.NoEnv:
			return "", lookup{unknown: true, file: true}
		}
		value, err := l.secretFile(name)
		if err != nil {
			return "", lookup{err: fmt.Sprintf("the file %s cannot be read: %s", name, reason(err))}
		}
		return value, lookup{file: true}
	}
	name, op, arg := ref, "", ""
	if i := strings.IndexByte(ref, ':'); i >= 0 {
		name, arg = ref[:i], ref[i+1:]
		op = ":"
		if arg != "" && (arg[0] == '-' || arg[0] == '?') {
			op, arg = ":"+arg[:1], arg[1:]
		}
	}
	switch {
	case !variableName.MatchString(name):
		return "", lookup{err: fmt.Sprintf("%q is no name of a variable", name), hint: "${NAME}, ${NAME:-default}, ${NAME:?message}, ${file:/path}; a literal ${ is $${"}
	case op == ":":
		return "", lookup{err: "a default is written behind :-", hint: fmt.Sprintf("${%s:-%s}", name, arg)}
	}
	if l.opts.NoEnv {
		if op == ":-" {
			return arg, lookup{}
		}
		return "", lookup{unknown: true}
	}
	value, set := l.env(name)
	if !set {
		value = ""
	}
	switch {
	case op == ":-" && value == "":
		value = arg
	case op == ":?" && value == "":
		if arg == "" {
			arg = "it must be given"
		}
		return "", lookup{err: fmt.Sprintf("the environment variable %s is not set: %s", name, arg)}
	case !set && op == "":
		return "", lookup{err: fmt.Sprintf("the environment variable %s is not set", name), hint: fmt.Sprintf("set it, or write ${%s:-default}", name)}
	}
	if !utf8.ValidString(value) {
		return "", lookup{err: fmt.Sprintf("the environment variable %s is not UTF-8", name)}
	}
	return value, lookup{}
}

// secretFile reads what ${file:…} names, without the line break at its end.
func (l *loader) secretFile(name string) (string, error) {
	if v, ok := l.secrets[name]; ok {
		return v, nil
	}
	b, err := l.readFile(name)
	if err != nil {
		return "", err
	}
	if len(b) > maxFileSize || !utf8.Valid(b) {
		return "", fmt.Errorf("it is no text of a moderate size")
	}
	v := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	l.secrets[name] = v
	return v, nil
}
