package config

import "testing"

func TestServerListen(t *testing.T) {
	for listen, ok := range map[string]bool{
		"": true, "off": true, "127.0.0.1:8087": true, "localhost:0": true, "[::1]:80": true, "127.9.9.9:1": true, "${LISTEN}": true,
		"0.0.0.0:8087": false, ":8087": false, "[::]:8087": false, "10.1.2.3:80": false, "example.com:80": false,
		"127.0.0.1": false, "127.0.0.1:http": false, "127.0.0.1:70000": false,
	} {
		if err := (Server{Listen: listen}).Validate(); (err == nil) != ok {
			t.Errorf("listen %q: %v", listen, err)
		}
	}
}
