package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/leatdev/leat/pipeline/control"
)

// Pause stops a pipeline, its intake or a relay, or lets it go on; it returns when that is drained.
func (c *Client) Pause(ctx context.Context, a control.Pause) error {
	var done control.Pause
	return c.call(ctx, http.MethodPost, "/api/v1/pipelines/"+url.PathEscape(a.Pipeline)+"/pause", nil, a, &done)
}
