// Package race says whether the race detector watches, under which tests try fewer cases.
package race
