package pattern

// Warning is something about a valid pattern that its author hardly meant.
type Warning struct {
	// Code names the kind: never_matches, unknown_field, shadowed, always_true, near_complexity, long_pattern.
	Code    string `json:"code"`
	Message string `json:"message"`
	// Pointer, Offset, Line and Column are the place, as in Error.
	Pointer string `json:"pointer"`
	Offset  int    `json:"offset"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
}

func (p *Pattern) warn(code, pointer string, offset int, message string) Warning {
	at := newError([]byte(p.text), offset, pointer, "")
	return Warning{code, message, pointer, offset, at.Line, at.Column}
}
