package sqlite

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/leatdev/leat/pipeline/check"
	"github.com/leatdev/leat/pipeline/eventstore"
)

var _ eventstore.Checker = Settings{}

// Check implements eventstore.Checker: the directory can be written, its disk has room and is no network's, and what
// lies there is a store that this program can use. A daemon that has it open is not disturbed.
func (s Settings) Check(ctx context.Context, env eventstore.Env) []check.Finding {
	path := filepath.Join(s.Dir, File)
	found := []check.Finding{s.checkDir(), check.Space(s.Dir)}
	if name := remote(s.Dir); name != "" {
		found = append(found, check.Warnf("%s lies on a network file system (%s): SQLite's locks and its WAL are not safe there", s.Dir, name).
			With("use a local disk, or stores: { main: { postgres: … } }"))
	}
	env.ReadOnly = true
	st, err := openPlugin(ctx, s, env)
	switch {
	case errors.Is(err, fs.ErrNotExist) && found[0].Severity != check.OK:
		return found
	case errors.Is(err, fs.ErrNotExist):
		return append(found, check.Okf("there is no store in %s yet; the first run makes it", s.Dir))
	case err != nil:
		return append(found, check.Problemf("%v", err).With("leat store verify --data %s tells more; a backup of the directory replaces it", s.Dir))
	}
	defer func() { _ = st.Close() }()
	head, err := st.Head(ctx)
	if err != nil {
		return append(found, check.Error("read "+path, err))
	}
	found = append(found, check.Okf("%s holds %d events", path, head.Position))
	if f := check.Appendable(path); f.Severity != check.OK {
		found = append(found, f)
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o007 != 0 {
		found = append(found, check.Warnf("everybody on this machine can read %s", path).With("chmod o-rwx %s", path))
	}
	return found
}

// checkDir looks at the directory, or at where it would be made.
func (s Settings) checkDir() check.Finding {
	if _, err := os.Stat(s.Dir); !errors.Is(err, fs.ErrNotExist) {
		return check.Writable(s.Dir)
	}
	above, err := filepath.Abs(s.Dir)
	if err != nil {
		return check.Error(s.Dir, err)
	}
	for {
		above = filepath.Dir(above)
		if _, err := os.Stat(above); err == nil || above == filepath.Dir(above) {
			break
		}
	}
	f := check.Writable(above)
	if f.Severity == check.OK {
		f.What = s.Dir + " can be made"
	}
	return f
}
