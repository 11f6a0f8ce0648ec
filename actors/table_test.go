package actors

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"stap-exporter/internal/scrape"
)

var states = []scrape.State{
	scrape.Idle,
	scrape.Starting,
	scrape.Running,
	scrape.Stopping,
	scrape.BackingOff,
	scrape.Stopped,
}

// row is a line of the table in states.go.
type row struct {
	state, message string
	next           []string
}

// stateTable reads the table in the comment of states.go.
func stateTable(t *testing.T) (rows []row) {
	t.Helper()
	source, err := os.ReadFile("states.go")
	if err != nil {
		t.Fatal(err)
	}
	comment, _, found := strings.Cut(string(source), "\nvar transitions")
	if !found {
		t.Fatal("no transitions in states.go")
	}
	columns := regexp.MustCompile(` {2,}`)
	for line := range strings.Lines(comment) {
		cells := columns.Split(strings.TrimSpace(strings.TrimPrefix(line, "//\t")), -1)
		if len(cells) != 4 || cells[0] == "state" {
			continue
		}
		rows = append(rows, row{
			state:   cells[0],
			message: cells[1],
			next:    strings.Split(cells[3], ", "),
		})
	}
	return rows
}

// The table names every transition that the code allows, and no other.
func TestTableHasTheTransitions(t *testing.T) {
	table := map[string]map[string]bool{}
	for _, r := range stateTable(t) {
		for _, to := range r.next {
			if table[r.state] == nil {
				table[r.state] = map[string]bool{}
			}
			table[r.state][to] = true
		}
	}
	for _, from := range states {
		for _, to := range states {
			named, allowed := table[from.String()][to.String()], slices.Contains(transitions[from], to)
			if named != allowed {
				t.Errorf("%s -> %s: in the table %v, in the code %v", from, to, named, allowed)
			}
		}
	}
	if next := table["any"]; len(next) != 1 || !next["-"] {
		t.Errorf("transitions in any state: %v", next)
	}
}

// The receive function of each state has a case for each message that the table
// lists there, and no other; the functions come in the order of the table.
func TestTableHasTheMessages(t *testing.T) {
	var inTable []string
	messages := map[string][]string{}
	for _, r := range stateTable(t) {
		if !slices.Contains(inTable, r.state) {
			inTable = append(inTable, r.state)
		}
		if !slices.Contains(messages[r.state], r.message) {
			messages[r.state] = append(messages[r.state], r.message)
		}
	}
	file, err := parser.ParseFile(token.NewFileSet(), "states.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var inCode []string
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		state := map[string]string{"backingOff": "backing-off", "anyState": "any"}[f.Name.Name]
		if state == "" {
			state = f.Name.Name
		}
		inCode = append(inCode, state)
		got, want := cases(f), messages[state]
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s handles %q, the table has %q", state, got, want)
		}
	}
	if !slices.Equal(inCode, inTable) {
		t.Errorf("the code has %q, the table %q", inCode, inTable)
	}
}

// cases are the types of a receive function's switch.
func cases(f *ast.FuncDecl) (names []string) {
	for _, statement := range f.Body.List {
		s, ok := statement.(*ast.TypeSwitchStmt)
		if !ok {
			continue
		}
		for _, clause := range s.Body.List {
			for _, e := range clause.(*ast.CaseClause).List {
				if pointer, ok := e.(*ast.StarExpr); ok {
					e = pointer.X
				}
				names = append(names, e.(*ast.Ident).Name)
			}
		}
	}
	return names
}
