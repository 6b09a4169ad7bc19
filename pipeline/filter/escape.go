package filter

// AppendEscaped is Append where what the expressions give goes through escape, which appends a text to dst in a form
// that cannot be taken for more than one part of what is being written: of a URL, say. The literal text stays as it is.
func (t *Template) AppendEscaped(dst []byte, v *View, escape func(dst []byte, text string) []byte) ([]byte, error) {
	out := dst
	var buf []byte
	for _, p := range t.parts {
		if p.prog == nil {
			out = append(out, p.text...)
			continue
		}
		var err error
		if buf, err = p.prog.AppendText(buf[:0], v); err != nil {
			return dst, err
		}
		out = escape(out, string(buf))
	}
	return out, nil
}
