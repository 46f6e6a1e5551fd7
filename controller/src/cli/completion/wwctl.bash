# bash completion for wwctl: wwctl itself says what may come next.
_wwctl() {
    local line last answer directive=4
    local -a words
    # The line as it was typed: bash cuts words at = and :, wwctl does not.
    read -r -a words <<<"${COMP_LINE:0:COMP_POINT}"
    [[ ${COMP_LINE:0:COMP_POINT} == *' ' ]] && words+=("")
    last=${COMP_WORDS[COMP_CWORD]}
    [[ $last == = ]] && last=
    answer=$("${words[0]}" __complete "${words[@]:1}" 2>/dev/null) || return
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
            :[0-9]*) directive=${line#:} ;;
            *)
                line=${line%%$'\t'*}
                [[ $line == "$last"* ]] && COMPREPLY+=("$line")
                ;;
        esac
    done <<<"$answer"
    if ((!(directive & 4) && ${#COMPREPLY[@]} == 0)); then
        compopt -o default 2>/dev/null
    fi
}
complete -F _wwctl wwctl
