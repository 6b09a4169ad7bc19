// Package awstest keeps tests that use the AWS SDK to themselves: with credentials that nobody checks, and away from the
// files, roles and endpoints of who runs them.
package awstest

import (
	"os"
	"testing"
)

// Environment gives the variables that do so, for a region.
func Environment(region string) map[string]string {
	return map[string]string{
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": region, "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_CA_BUNDLE": "", "AWS_ENDPOINT_URL": "",
	}
}

// Main is the TestMain of a package: it sets the environment and runs the tests.
func Main(m *testing.M, region string) {
	for k, v := range Environment(region) {
		set(os.Setenv(k, v))
	}
	for _, k := range []string{"AWS_PROFILE", "AWS_SESSION_TOKEN"} { // emulators in Python fail when they are empty
		set(os.Unsetenv(k))
	}
	os.Exit(m.Run())
}

func set(err error) {
	if err != nil {
		panic(err)
	}
}
