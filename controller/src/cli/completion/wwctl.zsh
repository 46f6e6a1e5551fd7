#compdef wwctl
# zsh completion for wwctl: wwctl itself says what may come next.
_wwctl() {
    local line directive=4
    local -a names shown
    while IFS= read -r line; do
        case $line in
            :[0-9]*) directive=${line#:} ;;
            *)
                names+=("${line%%$'\t'*}")
                shown+=("${line/$'\t'/  -- }")
                ;;
        esac
    done < <("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)
    (( $#names )) && compadd -l -d shown -a names
    (( directive & 4 )) || _files
}
compdef _wwctl wwctl
