package archtest

import (
	"fmt"
	"go/ast"
	"maps"
	"slices"
	"strings"
	"testing"
)

// Each package says what it is for.
func TestPackagesAreExplained(t *testing.T) { hold(t, explainPackages) }

func explainPackages(files []file) (complaints []string) {
	explained := make(map[string]bool)
	for _, f := range files {
		if f.isGo() && !f.isTest() {
			begin := "Package " + f.syntax.Name.Name + " "
			text := f.syntax.Doc.Text()
			explained[f.dir()] = explained[f.dir()] || strings.HasPrefix(text, begin) || f.syntax.Name.Name == "main" && text != ""
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(explained)) {
		if !explained[dir] {
			complaints = append(complaints, fmt.Sprintf("%s: no comment says what the package is for and what it must not know: begin one with \"Package\" and its name", dir))
		}
	}
	return complaints
}

// Each exported name has a doc comment. One comment on a group of constants or
// variables is enough for the group.
func TestExportedNamesAreExplained(t *testing.T) { hold(t, explainNames) }

func explainNames(files []file) (complaints []string) {
	for _, f := range files {
		if !f.isGo() || f.isTest() {
			continue
		}
		complain := func(node ast.Node, name string) {
			complaints = append(complaints, fmt.Sprintf("%s: %s is exported without a doc comment: say what it is, in which unit, and what errors it has", f.at(node), name))
		}
		for _, declared := range f.syntax.Decls {
			switch d := declared.(type) {
			case *ast.FuncDecl:
				if d.Doc == nil && d.Name.IsExported() && exportedReceiver(d) {
					complain(d, d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if name := unexplained(spec); name != "" && d.Doc == nil {
						complain(spec, name)
					}
				}
			}
		}
	}
	return complaints
}

// unexplained returns the first exported name of a type, constant or variable
// that has no comment of its own, "" if there is none.
func unexplained(spec ast.Spec) string {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() && s.Doc == nil && s.Comment == nil {
			return s.Name.Name
		}
	case *ast.ValueSpec:
		for _, name := range s.Names {
			if name.IsExported() && s.Doc == nil && s.Comment == nil {
				return name.Name
			}
		}
	}
	return ""
}

// exportedReceiver says whether a function is no method, or one of an exported
// type: others cannot see the rest.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return true
	}
	kind := d.Recv.List[0].Type
	for {
		switch k := kind.(type) {
		case *ast.StarExpr:
			kind = k.X
		case *ast.IndexExpr:
			kind = k.X
		case *ast.IndexListExpr:
			kind = k.X
		case *ast.Ident:
			return k.IsExported()
		default:
			return true
		}
	}
}
