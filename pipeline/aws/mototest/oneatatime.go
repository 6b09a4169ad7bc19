package mototest

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// OneAtATime gives the URL of a proxy that passes one request after another to an emulator's DynamoDB. Moto answers in threads that
// no lock keeps apart: its TransactWriteItems of DynamoDB, where it is refused, puts back a copy of the table from before
// it began, and what others wrote since is gone.
func OneAtATime(t testing.TB, emulator string) string {
	t.Helper()
	u, err := url.Parse(emulator)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	proxy := httputil.NewSingleHostReverseProxy(u)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Header.Get("X-Amz-Target"), "DynamoDB") {
			mu.Lock()
			defer mu.Unlock()
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}
