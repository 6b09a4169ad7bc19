package cmd

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/leatdev/leat/config"
)

// deployment is what describe prints instead of a plugin's keys.
type deployment struct{ policy, cloudFormation, terraform bool }

func (d *deployment) form() string {
	switch {
	case d.policy:
		return "policy"
	case d.cloudFormation:
		return "cloudformation"
	case d.terraform:
		return "terraform"
	}
	return ""
}

// used is a plugin of a pipeline.
type used struct {
	pipeline string
	plugin   config.Plugin
}

// deployment prints the rights or templates of a plugin: [KIND] NAME [FILE…].
func (a *app) deployment(args []string, d *deployment) error {
	kinds := []config.Kind{config.KindSource, config.KindSink}
	if k, ok := singular(args[0]); ok && len(args) > 1 {
		if !slices.Contains(kinds, config.Kind(k)) {
			return usagef("--%s is for sources and sinks", d.form())
		}
		kinds, args = []config.Kind{config.Kind(k)}, args[1:]
	}
	name, files := args[0], args[1:]
	known := kinds[:0:0]
	for _, k := range kinds {
		if _, ok := config.LookupPlugin(k, name); ok {
			known = append(known, k)
		}
	}
	if len(known) == 0 {
		return usagef("no source or sink is called %q; see: leat list", name)
	}
	all, err := a.usedAs(known, name, files)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return usagef("%s: no pipeline uses %s", strings.Join(files, ", "), name)
	}
	if d.policy {
		return a.policy(all, name)
	}
	return a.template(all, name, d)
}

// usedAs finds the plugin in the pipelines of the files, else in its example.
func (a *app) usedAs(kinds []config.Kind, name string, files []string) (all []used, err error) {
	var cfgs []*config.Config
	if len(files) > 0 {
		cfg, diags := config.Load(files, config.Options{Env: a.env})
		if err := a.diagnose(diags); err != nil {
			return nil, err
		}
		cfgs = append(cfgs, cfg)
	} else {
		for _, k := range kinds {
			s, err := config.Describe(string(k), name)
			if err != nil {
				return nil, usagef("%w", err)
			}
			cfg, diags := config.LoadBytes("example", []byte(s.Example), config.Options{NoEnv: true})
			if diags.HasErrors() {
				return nil, fmt.Errorf("the example of %s does not load: %s", name, diags[0].Text(false))
			}
			cfgs = append(cfgs, cfg)
		}
	}
	for _, cfg := range cfgs {
		for _, p := range cfg.Pipelines {
			for _, x := range config.PluginsOf(p) {
				if x.Name == name && slices.Contains(kinds, x.Kind) {
					all = append(all, used{p.Name, x})
				}
			}
		}
	}
	return all, nil
}

// policy prints one IAM policy; statements that say the same are printed once.
func (a *app) policy(all []used, name string) error {
	doc := struct {
		Version   string
		Statement []config.Statement
	}{Version: "2012-10-17"}
	seen, sids := map[string]bool{}, map[string]int{}
	for _, u := range all {
		p, ok := u.plugin.Config.(config.Permitted)
		if !ok {
			return usagef("%s needs no rights on AWS", name)
		}
		for _, s := range p.Permissions() {
			text, err := json.Marshal(s)
			if err != nil {
				return err
			}
			if seen[string(text)] {
				continue
			}
			seen[string(text)] = true
			if sids[s.Sid]++; sids[s.Sid] > 1 {
				s.Sid = fmt.Sprint(s.Sid, sids[s.Sid])
			}
			doc.Statement = append(doc.Statement, s)
		}
	}
	out, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "%s\n", out)
	return err
}

func (a *app) template(all []used, name string, d *deployment) error {
	var b strings.Builder
	if d.cloudFormation {
		b.WriteString("Resources:\n")
	}
	for _, u := range all {
		t, ok := u.plugin.Config.(config.Deployed)
		if !ok {
			return usagef("%s needs nothing of its own on AWS that leat knows how to deploy", name)
		}
		if d.cloudFormation {
			b.WriteString(t.CloudFormation(u.pipeline))
		} else {
			b.WriteString(t.Terraform(u.pipeline))
		}
	}
	_, err := fmt.Fprint(a.out, b.String())
	return err
}
