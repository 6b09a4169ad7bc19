package steps

import (
	"errors"
	"fmt"
	"os"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/filter"
	"github.com/leatdev/leat/pipeline/schemas"
)

// validateStep checks payloads against a folder of schemas.
type validateStep struct {
	set     *schemas.Set
	version *filter.Program
	invalid string
	pass    bool // types and versions without a schema
}

// versionOf is where an event says its schema's version, where the YAML does not say.
const versionOf = "metadata.dataversion"

func (t *Tree) validate(p *Program, s *config.Step) (*validateStep, error) {
	c := s.Validate
	v := &validateStep{invalid: c.Invalid, pass: c.Unknown == "pass"}
	folder := c.Folder(s.Pos)
	if v.set = t.sets[folder]; v.set == nil {
		set, err := schemas.Load(os.DirFS(folder))
		if err != nil {
			return nil, fmt.Errorf("schema %s: %w", folder, err)
		}
		v.set = set
		if t.sets == nil {
			t.sets = map[string]*schemas.Set{}
		}
		t.sets[folder] = set
	}
	src := c.Version.Source
	if src == "" {
		src = versionOf
	}
	var err error
	if v.version, err = p.scope.Compile(src, filter.Any); err != nil {
		return nil, fmt.Errorf("version: %w", err)
	}
	p.metadata = p.metadata || readsMetadata(v.version)
	return v, nil
}

func (v *validateStep) run(x *Exec) error {
	version, err := v.version.Text(x.view)
	if err != nil {
		return event.PoisonAs(event.CodeExpression, fmt.Errorf("version: %w", err))
	}
	err = v.set.Check(x.ev.Type, version, x.ev.Data)
	var unknown *schemas.UnknownError
	if err == nil || (v.pass && errors.As(err, &unknown)) {
		return nil
	}
	switch v.invalid {
	case "drop":
		return &dropError{err}
	case "reject":
		return &RejectError{event.PoisonAs(event.CodeRejected, err)}
	}
	return event.PoisonAs(event.CodeRejected, err)
}
