package config

import (
	"errors"
	"io/fs"
	"strings"
)

// envFile reads Options.EnvFile: NAME=value lines, the value plain or in quotes, `export` before the name allowed.
func (l *loader) envFile() {
	name := l.opts.EnvFile
	if name == "" {
		return
	}
	b, err := l.readFile(name)
	if err != nil {
		why := "the file cannot be read: " + reason(err)
		if errors.Is(err, fs.ErrNotExist) {
			why = "there is no such file"
		}
		l.whole(name, CodeFile, why, "")
		return
	}
	if len(b) > maxFileSize {
		l.tooLarge(name, int64(len(b)))
		return
	}
	l.envVars = map[string]string{}
	n := 0
	for line := range strings.Lines(strings.TrimPrefix(string(b), "\ufeff")) {
		n++
		s := strings.TrimSpace(line)
		if s == "" || s[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(strings.TrimPrefix(s, "export "), "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !ok || !variableName.MatchString(key) {
			// No snippet: the line may hold a secret.
			l.add(Diagnostic{File: name, Line: n, Col: 1, EndCol: 2, Code: CodeInterpolation, Severity: Error, Message: "the line is not NAME=value"})
			continue
		}
		if len(value) >= 2 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0] {
			value = value[1 : len(value)-1]
		}
		l.envVars[key] = value
	}
}
