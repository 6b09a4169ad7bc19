package telemetry

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/leatdev/leat/pipeline/metric"
)

var _ metric.Registry = (*Plugin)(nil)

func TestPluginsNumbers(t *testing.T) {
	m := NewMetrics("test")
	calls, flying := int64(3), int64(7)
	p := m.Plugin("orders", "source")
	p.Counter("sqs_calls_total", "Calls.", func() int64 { return calls })
	p.Gauge("sqs_in_flight", "In flight.", func() int64 { return flying })
	other := m.Plugin("orders", "source") // the next run of the same pipeline
	other.Counter("sqs_calls_total", "Calls, in other words.", func() int64 { return 10 })
	m.Plugin("stock", "source").Counter("sqs_calls_total", "Calls.", func() int64 { return 1 })
	show := func() string {
		w := httptest.NewRecorder()
		m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
		return w.Body.String()
	}
	for _, want := range []string{
		`leat_sqs_calls_total{component="source",pipeline="orders"} 13`,
		`leat_sqs_calls_total{component="source",pipeline="stock"} 1`,
		`leat_sqs_in_flight{component="source",pipeline="orders"} 7`,
	} {
		if got := show(); !strings.Contains(got, want+"\n") {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
	calls, flying = 4, 0
	other.Close()
	for _, want := range []string{`pipeline="orders"} 4`, `leat_sqs_in_flight{component="source",pipeline="orders"} 0`} {
		if got := show(); !strings.Contains(got, want+"\n") {
			t.Errorf("then no %s in\n%s", want, got)
		}
	}
	p.Close()
	if got := show(); strings.Contains(got, `pipeline="orders"`) {
		t.Errorf("after the close\n%s", got)
	}
}

func TestNobodyAsksForNumbers(t *testing.T) {
	var none *Metrics
	p := none.Plugin("orders", "source")
	p.Counter("x_total", "X.", func() int64 { t.Error("read"); return 0 })
	p.Close()
	metric.Gauge(nil, "x", "X.", nil)
}
