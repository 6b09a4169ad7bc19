package otlp

import (
	"math"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/encoding/protowire"
)

// The numbers of fields are those of opentelemetry-proto, trace/v1/trace.proto and common/v1/common.proto.

// message appends a field that is a message, written by f.
func message(b []byte, field protowire.Number, f func(b []byte) []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), f(nil))
}

func text(b []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), s)
}

func raw(b []byte, field protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}

func varint(b []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

func instant(b []byte, field protowire.Number, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	return protowire.AppendFixed64(protowire.AppendTag(b, field, protowire.Fixed64Type), uint64(t.UnixNano()))
}

// encode writes an ExportTraceServiceRequest. Spans of one resource and scope go together, in their order.
func encode(spans []sdk.ReadOnlySpan) []byte {
	type group struct {
		scope instrumentation.Scope
		spans []sdk.ReadOnlySpan
	}
	type block struct {
		first  sdk.ReadOnlySpan
		groups []*group
	}
	var blocks []*block
	for _, s := range spans {
		var in *block
		for _, k := range blocks {
			if k.first.Resource().Equivalent() == s.Resource().Equivalent() {
				in = k
			}
		}
		if in == nil {
			in = &block{first: s}
			blocks = append(blocks, in)
		}
		var g *group
		for _, k := range in.groups {
			if k.scope.Name == s.InstrumentationScope().Name && k.scope.Version == s.InstrumentationScope().Version {
				g = k
			}
		}
		if g == nil {
			g = &group{scope: s.InstrumentationScope()}
			in.groups = append(in.groups, g)
		}
		g.spans = append(g.spans, s)
	}
	var out []byte
	for _, k := range blocks {
		out = message(out, 1, func(b []byte) []byte {
			b = message(b, 1, func(b []byte) []byte { return attributes(b, 1, k.first.Resource().Attributes()) })
			for _, g := range k.groups {
				b = message(b, 2, func(b []byte) []byte {
					b = message(b, 1, func(b []byte) []byte { return text(text(b, 1, g.scope.Name), 2, g.scope.Version) })
					for _, s := range g.spans {
						b = message(b, 2, func(b []byte) []byte { return span(b, s) })
					}
					return b
				})
			}
			return text(b, 3, k.first.Resource().SchemaURL())
		})
	}
	return out
}

func span(b []byte, s sdk.ReadOnlySpan) []byte {
	c, parent := s.SpanContext(), s.Parent()
	trc, id := c.TraceID(), c.SpanID()
	b = raw(b, 1, trc[:])
	b = raw(b, 2, id[:])
	b = text(b, 3, c.TraceState().String())
	if parent.SpanID().IsValid() {
		p := parent.SpanID()
		b = raw(b, 4, p[:])
	}
	b = text(b, 5, s.Name())
	b = varint(b, 6, kind(s.SpanKind()))
	b = instant(b, 7, s.StartTime())
	b = instant(b, 8, s.EndTime())
	b = attributes(b, 9, s.Attributes())
	b = varint(b, 10, count(s.DroppedAttributes()))
	for _, e := range s.Events() {
		b = message(b, 11, func(b []byte) []byte {
			b = text(instant(b, 1, e.Time), 2, e.Name)
			return varint(attributes(b, 3, e.Attributes), 4, count(e.DroppedAttributeCount))
		})
	}
	b = varint(b, 12, count(s.DroppedEvents()))
	for _, l := range s.Links() {
		b = message(b, 13, func(b []byte) []byte {
			trc, id := l.SpanContext.TraceID(), l.SpanContext.SpanID()
			b = text(raw(raw(b, 1, trc[:]), 2, id[:]), 3, l.SpanContext.TraceState().String())
			return flags(varint(attributes(b, 4, l.Attributes), 5, count(l.DroppedAttributeCount)), 6, l.SpanContext)
		})
	}
	b = varint(b, 14, count(s.DroppedLinks()))
	if st := s.Status(); st.Code != codes.Unset {
		b = message(b, 15, func(b []byte) []byte { return varint(text(b, 2, st.Description), 3, status(st.Code)) })
	}
	return flags(b, 16, parent.WithTraceFlags(c.TraceFlags()))
}

// flags are the trace flags in the lowest byte; bit 8 says that bit 9 is known, which says that the parent is remote.
func flags(b []byte, field protowire.Number, c trace.SpanContext) []byte {
	v := uint32(c.TraceFlags()) | 1<<8
	if c.IsRemote() {
		v |= 1 << 9
	}
	return protowire.AppendFixed32(protowire.AppendTag(b, field, protowire.Fixed32Type), v)
}

func count(n int) uint64 { return uint64(max(n, 0)) }

// kind: the SDK's numbers are the protocol's, from INTERNAL on.
func kind(k trace.SpanKind) uint64 { return count(int(k)) }

func status(c codes.Code) uint64 {
	if c == codes.Error {
		return 2
	}
	return 1
}

func attributes(b []byte, field protowire.Number, all []attribute.KeyValue) []byte {
	for _, a := range all {
		b = message(b, field, func(b []byte) []byte {
			return message(text(b, 1, string(a.Key)), 2, func(b []byte) []byte { return value(b, a.Value) })
		})
	}
	return b
}

// value writes an AnyValue: a oneof, so that zero values are written too.
func value(b []byte, v attribute.Value) []byte {
	str := func(b []byte, s string) []byte {
		return protowire.AppendString(protowire.AppendTag(b, 1, protowire.BytesType), s)
	}
	boolean := func(b []byte, v bool) []byte {
		return protowire.AppendVarint(protowire.AppendTag(b, 2, protowire.VarintType), protowire.EncodeBool(v))
	}
	integer := func(b []byte, v int64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(b, 3, protowire.VarintType), uint64(v))
	}
	float := func(b []byte, v float64) []byte {
		return protowire.AppendFixed64(protowire.AppendTag(b, 4, protowire.Fixed64Type), math.Float64bits(v))
	}
	switch v.Type() {
	case attribute.BOOL:
		return boolean(b, v.AsBool())
	case attribute.INT64:
		return integer(b, v.AsInt64())
	case attribute.FLOAT64:
		return float(b, v.AsFloat64())
	case attribute.STRINGSLICE:
		return list(b, v.AsStringSlice(), str)
	case attribute.BOOLSLICE:
		return list(b, v.AsBoolSlice(), boolean)
	case attribute.INT64SLICE:
		return list(b, v.AsInt64Slice(), integer)
	case attribute.FLOAT64SLICE:
		return list(b, v.AsFloat64Slice(), float)
	}
	return str(b, v.String())
}

func list[T any](b []byte, all []T, one func([]byte, T) []byte) []byte {
	return message(b, 5, func(b []byte) []byte {
		for _, v := range all {
			b = message(b, 1, func(b []byte) []byte { return one(b, v) })
		}
		return b
	})
}
