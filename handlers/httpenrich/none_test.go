package httpenrich

import (
	"context"
	"errors"

	"github.com/leatdev/leat/sources"
)

func init() {
	sources.Register("none", func(context.Context, struct{}, sources.Env) (sources.Source, error) {
		return nil, errors.New("none")
	})
}
