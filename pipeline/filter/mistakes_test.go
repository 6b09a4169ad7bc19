package filter_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/leatdev/leat/pipeline/filter"
)

func TestMistakes(t *testing.T) {
	for _, tt := range []struct {
		src  string
		want filter.Want
		errs string // "line:column code message | hint", one on each line
	}{
		// Names.
		{src: `detail.amount > 5`, errs: `1:1 expression_name there is no name detail | did you mean data.amount?`},
		{src: `event.detail["order-id"] == 1`, errs: `1:1 expression_name there is no name event | did you mean data["order-id"]?`},
		{src: `event.type == "x"`, errs: `1:1 expression_name there is no name event | did you mean type?`},
		{src: `event.amount > 1`, errs: `1:1 expression_name there is no name event | did you mean data.amount?`},
		{src: `evnt.amount > 1`, errs: `1:1 expression_name there is no name evnt | did you mean data.amount?`},
		{src: `$.data.x == 1`, errs: `1:1 expression_name there is no name $ | did you mean data.x?`},
		{src: `detail_type == "x"`, errs: `1:1 expression_name there is no name detail_type | did you mean type?`},
		{src: `tpye == "x"`, errs: `1:1 expression_name there is no name tpye | did you mean type?`},
		{src: `dtaa.x == 1`, errs: `1:1 expression_name there is no name dtaa | did you mean data.x?`},
		{src: `amount > 5`, errs: `1:1 expression_name there is no name amount | a field of the payload is written data.amount`},
		{src: `data.x == null`, errs: `1:11 expression_name there is no name null | did you mean nil?`},
		{src: `data.x == True`, errs: `1:11 expression_name there is no name True | did you mean true?`},
		{src: `row.x > 1`, errs: `1:1 expression_name row cannot be used here`},
		{src: `foo > 1 && bar < 2`, errs: "1:1 expression_name there is no name foo | a field of the payload is written data.foo\n" +
			"1:12 expression_name there is no name bar | a field of the payload is written data.bar"},
		{src: "data.é == 'ü' &&\n  fooo == 1", errs: `2:3 expression_name there is no name fooo | a field of the payload is written data.fooo`},
		{src: `'é' == fooo`, errs: `1:8 expression_name there is no name fooo | a field of the payload is written data.fooo`},
		{src: `lenght(data.items) > 1`, errs: `1:1 expression_name there is no function lenght | did you mean len?`},
		{src: `lowr(type) == "x"`, errs: `1:1 expression_name there is no function lowr | did you mean lower?`},
		{src: `now() > time`, errs: `1:1 expression_name now is not available | the same event must always give the same answer; use time, the event's own`},
		{src: `env("HOME") == "x"`, errs: `1:1 expression_name there is no function env | the environment is written ${NAME}, outside of expressions`},
		{src: `$env["id"] == "x"`, errs: `1:1 expression_name there is no name $env | did you mean id?`},
		{src: `data.x.contains("a")`, errs: `1:8 expression_name there is no method contains | write a contains "b"`},
		{src: `data.items.some(true)`, errs: `1:12 expression_name there is no method some | write any(a, .x > 1)`},

		// Hyphens.
		{src: `data.detail-type == "x"`, errs: `1:12 expression_type operator - (these do not fit together: unknown and text) | a - without spaces subtracts; write data["detail-type"]`},
		{src: `data.order-id == "x"`, errs: `1:11 expression_type operator - (these do not fit together: unknown and text) | a - without spaces subtracts; write data["order-id"]`},
		{src: `data.trade-ref > 1`, errs: `1:12 expression_name there is no name ref | a - without spaces subtracts; write data["trade-ref"]`},
		{src: `detail-type == "x"`, errs: `1:1 expression_name there is no name detail | did you mean type?`},

		// Syntax.
		{src: ``, errs: `1:1 expression_syntax the expression is empty`},
		{src: `type = "x"`, errs: `1:6 expression_syntax unexpected "=" | = does not compare: write ==`},
		{src: "type == \u201cx\u201d", errs: "1:9 expression_syntax unrecognized character: U+201C '\u201c' | these are quotes of a word processor: write \""},
		{src: "type == \u2018x\u2019", errs: "1:9 expression_syntax unrecognized character: U+2018 '\u2018' | these are quotes of a word processor: write '"},
		{src: "data.x ==\u200b1", errs: "1:10 expression_syntax unrecognized character: U+200B | a character without width stands here: take it away"},
		{src: `.data.x > 1`, errs: `1:1 expression_syntax unexpected "." | a path of the event starts with a name: data.x, not .data.x or .x`},
		{src: `type === "x"`, errs: `1:8 expression_syntax unexpected "=" | write == to compare`},
		{src: `type <> "x"`, errs: `1:7 expression_syntax unexpected ">" | write != to say not equal`},
		{src: `data.a & data.b`, errs: `1:8 expression_syntax unexpected "&" | write && or and`},
		{src: `data.a | data.b`, errs: `1:14 expression_syntax unexpected "." | write || or or; | passes a value to a function`},
		{src: `data.a AND data.b`, errs: `1:8 expression_syntax unexpected "AND" | write and, in lower case`},
		{src: `data.a like "x%"`, errs: `1:8 expression_syntax unexpected "like" | write contains, or matches "^a.*b$"`},
		{src: `data.a is nil`, errs: `1:8 expression_syntax unexpected "is" | write == nil, or != nil`},
		{src: `{{ data.x }} > 1`, errs: `1:2 expression_syntax a map key must be a quoted text, a number, a identifier, or an expression enclosed in parentheses (unexpected "{") | this field is an expression already: leave out the {{ }}`},
		{src: `map(data.x, {a: .b})`, errs: `1:15 expression_syntax unexpected ":" | an object in a predicate stands in parentheses: map(data.items, ({sku: .sku}))`},
		{src: `(data.a > 1`, errs: `1:11 expression_syntax unexpected end of the expression`},
		{src: `data.a == "x`, errs: `1:13 expression_syntax literal not terminated`},
		{src: "data.a == \"\xff\"", errs: `1:1 expression_syntax the expression is not UTF-8`},

		// Types.
		{src: `type == 5`, errs: `1:6 expression_type operator == (these do not fit together: text and a number)`},
		{src: `type > 5`, errs: `1:6 expression_type operator > (these do not fit together: text and a number)`},
		{src: `time > "yesterday"`, errs: `1:8 expression_type date: the text is no time, such as "2006-01-02T15:04:05Z" or "2006-01-02"`},
		{src: `time.Year`, errs: `1:6 expression_type time is a time and has no fields | call it: time.Year()`},
		{src: `type.x == 1`, errs: `1:6 expression_type type text has no field x`},
		{src: `data.x matches "("`, errs: "1:8 expression_type error parsing regexp: missing closing ): `(`"},
		{src: `1 / 0`, errs: `1:3 expression_type operator /: division by zero`},
		{src: `type`, want: filter.Bool, errs: `1:1 expression_type this must be true or false, it is text | compare it with something: type == "OrderCreated"`},
		{src: `data.a + 1 > 2 ? 1 : 2`, want: filter.Bool, errs: `1:1 expression_type this must be true or false, it is a number | compare it with something: type == "OrderCreated"`},
		{src: `data.a + 1`, want: filter.Bool, errs: `1:1 expression_type this must be true or false, and + gives neither | compare it with something: type == "OrderCreated"`},
		{src: ` data.a - data.b`, want: filter.Bool, errs: `1:2 expression_type this must be true or false, and - gives neither | compare it with something: type == "OrderCreated"`},
		{src: `nil`, want: filter.Bool, errs: `1:1 expression_type this must be true or false, it is nil | compare it with something: type == "OrderCreated"`},
		{src: `type`, want: filter.Number, errs: `1:1 expression_type this must be a number, it is text`},
		{src: `type == "x"`, want: filter.Time, errs: `1:1 expression_type this must be a time, it is true or false`},
		{src: `len(data.x)`, want: filter.List, errs: `1:1 expression_type this must be an array, it is a number`},

		// Cost.
		{src: strings.Repeat(" ", filter.MaxSource) + `true`, errs: `1:1 expression_cost the expression has 8196 bytes, more than 8192`},
		{src: strings.Repeat("(", 200) + "true" + strings.Repeat(")", 200), errs: `1:65 expression_cost more than 64 brackets within each other`},
		{src: strings.Repeat("data.a && ", 300) + "true", errs: `1:1 expression_cost the expression has more than 500 parts`},
		{src: strings.Repeat("data.a < (", 40) + "1" + strings.Repeat(") < data.b", 40), errs: `1:1 expression_cost the expression is too large`},
		{src: strings.Repeat("(", 40) + "1" + strings.Repeat(" ?: 2)", 40), errs: `1:1 expression_cost the expression is too large`},
		{src: `all(data.items, all(data.items, all(data.items, # > 1)))`, errs: nested("1:17", "all")},
		{src: `any(data.a, any(data.b, # > 1))`, errs: nested("1:13", "any")},
		{src: `let b = data.b; any(data.a, count(b) > 1)`, errs: nested("1:29", "count")},
		{src: `1..1000000000 == []`, errs: `1:2 expression_cost this is too much work`},
		{src: `data.x matches data.y`, errs: `1:21 expression_cost the pattern of matches must be written in the expression`},
		{src: `data.x matches "((a{100}){100}){100}"`, errs: "1:8 expression_type error parsing regexp: invalid repeat count: `{100}`"},
		{src: `data.x matches "(abcdefghij){300}"`, errs: `1:16 expression_cost the pattern is too large`},
		{src: `repeat("a", 1000) == "x"`, errs: `1:1 expression_name repeat is not available | its result has no bound`},
		{src: `groupBy(data.x, .y) == nil`, errs: `1:1 expression_name groupBy is not available | its result has no bound`},
		{src: `date(data.x, "2006", data.z) == nil`, errs: `1:27 expression_cost the time zone must be written in the expression`},
	} {
		_, err := filter.NewScope(filter.Event).Compile(tt.src, tt.want)
		if got := report(err); got != tt.errs {
			t.Errorf("%.100s\n got %s\nwant %s", tt.src, got, tt.errs)
		}
	}
}

func nested(at, name string) string {
	return at + " expression_cost " + name + " within a predicate would visit every element for every element | " +
		"look at the element in hand: any(data.orders, any(.items, .qty > 3))"
}

func report(err error) string {
	var lines []string
	for _, e := range filter.Errors(err) {
		line := fmt.Sprintf("%d:%d %s %s", e.Line, e.Column, e.Code, e.Message)
		if e.Hint != "" {
			line += " | " + e.Hint
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestOffsetsCountBytes(t *testing.T) {
	src := `'é' == fooo`
	_, err := filter.NewScope(filter.Event).Compile(src, filter.Bool)
	if e := filter.Errors(err); len(e) != 1 || src[e[0].Offset:] != "fooo" {
		t.Errorf("%+v", e)
	}
}

func TestTemplates(t *testing.T) {
	for _, tt := range []struct{ src, want string }{
		{``, ``},
		{`plain`, `plain`},
		{`order/{{ data.order_id }}`, `order/o-1`},
		{`{{type}}`, `OrderCreated`},
		{`{{ data.amount }}|{{ data.active }}|{{ data.nope }}|{{ data.n }}|{{ time }}|{{ data.tags }}`, `512.50|true|||2026-01-02T03:04:05.000006Z|["web","b2b"]`},
		{`\{{ type }} {{ "}}" }} {{ {"a": {"b": 1}} }}`, `{{ type }} }} {"a":{"b":1}}`},
		{`a}}b { {`, `a}}b { {`},
		{`{{ "é" }}ü`, `éü`},
		{`{{ data.esc }}`, `a"b\cé`},
		{"{{ data.nope ?? \n 'x' }}", `x`},
	} {
		s := filter.NewScope(all)
		tpl, err := s.Template(tt.src)
		if err != nil {
			t.Errorf("%s: %v", tt.src, err)
			continue
		}
		if got, err := tpl.Text(look(s)); got != tt.want || err != nil {
			t.Errorf("%s = %q, %v, want %q", tt.src, got, err, tt.want)
		}
		if text, ok := tpl.Constant(); ok && text != tt.want || ok == strings.Contains(strings.ReplaceAll(tt.src, `\{{`, ""), "{{") {
			t.Errorf("%s: constant %q, %v", tt.src, text, ok)
		}
	}
}

func TestTemplateMistakes(t *testing.T) {
	for _, tt := range []struct{ src, errs string }{
		{"a\n {{ data.x", "2:2 expression_template {{ is not closed | close it with }}, or write \\{{ for the text"},
		{`{{ }}`, `1:1 expression_template there is nothing between {{ and }}`},
		{"ü{{ foo }}\n{{ 1 + }} {{ bar.x }}", "1:5 expression_name there is no name foo | a field of the payload is written data.foo\n" +
			"2:7 expression_syntax unexpected end of the expression\n2:14 expression_name there is no name bar | a field of the payload is written data.bar.x"},
	} {
		_, err := filter.NewScope(filter.Event).Template(tt.src)
		if got := report(err); got != tt.errs {
			t.Errorf("%s\n got %s\nwant %s", tt.src, got, tt.errs)
		}
	}
}

func TestTemplateErrorsLeaveTheBuffer(t *testing.T) {
	s := filter.NewScope(all)
	tpl, err := s.Template(`x{{ data.qty + data.order_id }}`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := tpl.Append([]byte("keep"), look(s))
	if string(got) != "keep" || err == nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestCut(t *testing.T) {
	for _, tt := range []struct {
		src, before, after string
		ok                 bool
	}{
		{`order/{{ data.order_id }}`, "order", "o-1", true},
		{`{{ stream }}/a/b`, "order/o-1", "a/b", true},
		{`{{ type }}x/`, "OrderCreatedx", "", true},
		{`{{ "a/b" }}`, "a/b", "", false},
	} {
		s := filter.NewScope(all)
		tpl, err := s.Template(tt.src)
		if err != nil {
			t.Fatal(err)
		}
		v := look(s)
		a, b, ok := tpl.Cut('/')
		before, _ := a.Text(v)
		after, _ := b.Text(v)
		if before != tt.before || after != tt.after || ok != tt.ok {
			t.Errorf("%s: %q, %q, %v", tt.src, before, after, ok)
		}
	}
}
