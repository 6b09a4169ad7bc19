package config

import (
	"errors"
	"fmt"
	"net/url"
)

// HTTPURL checks that the value of a field is the URL of an HTTP endpoint; the error is a *FieldError. An empty value is
// left to the decoder, which knows whether the field must be given.
func HTTPURL(field, value string) error {
	if value == "" {
		return nil
	}
	u, err := url.Parse(value)
	switch {
	case err != nil:
		// The parser's error repeats the URL, which may hold a password.
		var e *url.Error
		if errors.As(err, &e) {
			err = e.Err
		}
		return &FieldError{Field: field, Err: fmt.Errorf("no URL: %w", err)}
	case u.Scheme != "http" && u.Scheme != "https":
		return &FieldError{Field: field, Err: errors.New("wants a URL that starts with http:// or https://"), Hint: "for example https://example.com/events"}
	case u.Host == "":
		return &FieldError{Field: field, Err: errors.New("the URL names no host")}
	}
	return nil
}

// Validate implements Validator.
func (r Retry) Validate() error {
	if r.Initial > r.Max {
		return &FieldError{Field: "max", Err: fmt.Errorf("the longest wait, %s, is shorter than the first, %s", r.Max, r.Initial), Hint: "raise max, or lower initial"}
	}
	return nil
}
