package file

import (
	"context"

	"github.com/leatdev/leat/pipeline/check"
	"github.com/leatdev/leat/sources"
)

var _ sources.Checker = Config{}

// Check implements sources.Checker: every file is there and can be read. Files that are followed may come later.
func (c Config) Check(context.Context, sources.Env) (found []check.Finding) {
	for _, p := range c.Path {
		if p == "-" {
			continue
		}
		names, err := expand(p)
		if err != nil {
			found = append(found, check.Error("look for "+p, err))
			continue
		}
		if len(names) == 0 {
			found = append(found, check.Warnf("no file matches %s", p))
			continue
		}
		for _, name := range names {
			f := check.Readable(name)
			if f.Severity == check.Problem && c.Follow {
				f.Severity, f.What = check.Warning, f.What+"; it is waited for"
			}
			found = append(found, f)
		}
	}
	return found
}
