package pattern

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// batchCase is a line of a batch.
type batchCase struct {
	Name        string          `json:"name"`
	Pattern     json.RawMessage `json:"pattern"`
	PatternText *string         `json:"pattern_text"`
	Event       json.RawMessage `json:"event"`
}

// BatchCounts says what a batch held.
type BatchCounts struct{ Matched, Unmatched, Invalid int }

// maxLine bounds a line of a batch, in bytes.
const maxLine = 16 << 20

// Batch reads JSON objects, one a line, {"name": …, "pattern": … or "pattern_text": "…", "event": …}, and writes for each
// {"name": …, "match": true or false} or {"name": …, "invalid": "reason"}. A line without an event only checks its pattern. An
// error names the line at which the batch could not go on.
func Batch(in io.Reader, out io.Writer) (n BatchCounts, err error) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	w := bufio.NewWriter(out)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for line := 1; lines.Scan(); line++ {
		if len(lines.Bytes()) == 0 {
			continue
		}
		var c batchCase
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return n, errors.Join(fmt.Errorf("pattern: batch line %d: %w", line, err), w.Flush())
		}
		if err := enc.Encode(c.run(&n)); err != nil {
			return n, fmt.Errorf("pattern: batch line %d: %w", line, err)
		}
	}
	if err := lines.Err(); err != nil {
		return n, errors.Join(fmt.Errorf("pattern: batch: %w", err), w.Flush())
	}
	return n, w.Flush()
}

type (
	batchMatch struct {
		Name  string `json:"name"`
		Match bool   `json:"match"`
	}
	batchInvalid struct {
		Name    string `json:"name"`
		Invalid string `json:"invalid"`
	}
)

func (c *batchCase) run(n *BatchCounts) any {
	text := []byte(c.Pattern)
	if c.PatternText != nil {
		text = []byte(*c.PatternText)
	}
	p, err := Compile(text)
	if err != nil {
		n.Invalid++
		var e *Error
		if errors.As(err, &e) {
			return batchInvalid{c.Name, e.Reason}
		}
		return batchInvalid{c.Name, err.Error()}
	}
	if len(c.Event) == 0 {
		return batchMatch{c.Name, false}
	}
	matched, err := p.Match(c.Event)
	switch {
	case err != nil:
		n.Invalid++
		return batchInvalid{c.Name, err.Error()}
	case matched:
		n.Matched++
	default:
		n.Unmatched++
	}
	return batchMatch{c.Name, matched}
}
