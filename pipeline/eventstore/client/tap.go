package client

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/url"

	"github.com/leatdev/leat/pipeline/eventstore/wire"
	"github.com/leatdev/leat/pipeline/tap"
)

// Tap gives samples of what passes a pipeline's stages, until ctx ends.
func (c *Client) Tap(ctx context.Context, pipeline string, o tap.Options) iter.Seq2[tap.Sample, error] {
	q := url.Values{"stage": o.Stages}
	putNumber(q, "buffer", int64(o.Buffer))
	return each(ctx, c, "/api/v1/pipelines/"+url.PathEscape(pipeline)+"/tap", q, func(line []byte) (tap.Sample, error) {
		var w wire.Sample
		if err := json.Unmarshal(line, &w); err != nil {
			return tap.Sample{}, fmt.Errorf("sample: %w", err)
		}
		return w.Back()
	})
}
