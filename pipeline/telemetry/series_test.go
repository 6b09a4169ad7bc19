package telemetry

import (
	"net/http/httptest"
	"strings"
	"testing"
)

func TestStoresNumbers(t *testing.T) {
	m := NewMetrics("v")
	for _, name := range []string{"main", "other", "main"} { // the second takes the first one's place
		m.Store(name).Counters("dynamodb_capacity_units_total", "Units.", func(show func(float64, ...string)) {
			show(1.5, "operation", "GetItem", "kind", "read")
			show(4, "operation", "TransactWriteItems", "kind", "write")
		})
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, line := range []string{
		"# TYPE leat_dynamodb_capacity_units_total counter",
		`leat_dynamodb_capacity_units_total{kind="read",operation="GetItem",store="main"} 1.5`,
		`leat_dynamodb_capacity_units_total{kind="write",operation="TransactWriteItems",store="other"} 4`,
	} {
		if strings.Count(w.Body.String(), line+"\n") != 1 {
			t.Errorf("no line %s in\n%s", line, w.Body.String())
		}
	}
	var none *Metrics
	if none.Store("main") != nil {
		t.Error("numbers are shown to nobody")
	}
}
