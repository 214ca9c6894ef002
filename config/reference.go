package config

// Key is one key of the language.
type Key struct {
	// Path is the key path. "*" stands for a name of the user's, "[]" for each
	// element of a list: "clusters.*.endpoints[].weight".
	Path string
	// Type is the kind of value; "table" is one whose keys follow.
	Type string
	// Default is the value of an absent key as TOML; "" is none.
	Default string
	// Help is one line.
	Help string
	// Example is a value as TOML; "" for tables that need none.
	Example string
}

// Keys is every key that Parse knows, in the order of the reference, each table
// before its keys. It is made from what Parse itself works by.
func Keys() []Key { return rootTable().describe("") }
