module github.com/leatdev/leat/pipeline/pattern/bench

go 1.26.0

require (
	github.com/leatdev/leat v0.0.0
	quamina.net/go/quamina v1.4.0
)

replace (
	github.com/leatdev/leat => ../../..
	quamina.net/go/quamina => github.com/timbray/quamina v1.4.0
)
