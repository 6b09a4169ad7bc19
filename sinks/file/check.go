package file

import (
	"context"
	"path/filepath"

	"github.com/leatdev/leat/pipeline/check"
	"github.com/leatdev/leat/sinks"
)

var _ sinks.Checker = Config{}

// Check implements sinks.Checker: the file can be written, or made, and its disk has room.
func (c Config) Check(context.Context, sinks.Env) []check.Finding {
	return []check.Finding{check.Appendable(c.Path), check.Space(filepath.Dir(c.Path))}
}
