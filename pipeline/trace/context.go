package trace

import "context"

type contextKey struct{}

// With gives a context in which work belongs to a span.
func With(ctx context.Context, p Parent) context.Context {
	return context.WithValue(ctx, contextKey{}, p)
}

// From gives the span that the work of a context belongs to: what a handler or sink passes on to whom it calls.
func From(ctx context.Context) (Parent, bool) {
	p, ok := ctx.Value(contextKey{}).(Parent)
	return p, ok && p.Valid()
}
