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

// Rebuild begins to build a table anew.
func (c *Client) Rebuild(ctx context.Context, a control.Rebuild) (control.Work, error) {
	var w control.Work
	err := c.call(ctx, http.MethodPost, "/api/v1/rebuilds", nil, a, &w)
	return w, err
}

// Replay begins to send a part of the log once more.
func (c *Client) Replay(ctx context.Context, a control.Replay) (control.Work, error) {
	var w control.Work
	err := c.call(ctx, http.MethodPost, "/api/v1/replays", nil, a, &w)
	return w, err
}

// Work tells how far a rebuild or replay has come.
func (c *Client) Work(ctx context.Context, id string) (control.Work, error) {
	var w control.Work
	err := c.call(ctx, http.MethodGet, "/api/v1/works/"+url.PathEscape(id), nil, nil, &w)
	return w, err
}

// Works lists the rebuilds and replays since the daemon's start, the last one first.
func (c *Client) Works(ctx context.Context) ([]control.Work, error) {
	var all []control.Work
	err := c.call(ctx, http.MethodGet, "/api/v1/works", nil, nil, &all)
	return all, err
}

// CancelWork ends one of them.
func (c *Client) CancelWork(ctx context.Context, id string) (control.Work, error) {
	var w control.Work
	err := c.call(ctx, http.MethodDelete, "/api/v1/works/"+url.PathEscape(id), nil, nil, &w)
	return w, err
}
