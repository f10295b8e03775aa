# zsh -f ask.zsh DIR LINE...: what an interactive zsh offers for each LINE, with DIR in its fpath; each
# match on a line of its own, behind a `=`, and `=END` behind all of a LINE.
zmodload zsh/zpty
zpty shell env TERM=dumb zsh -f -i
tell() { zpty -w shell "$1" }
tell "unsetopt prompt_cr prompt_sp; PS1=; fpath=($1 \$fpath); autoload -Uz compinit; compinit -D -u"
# All matches go by this; completion is asked for, and nothing of it inserted or listed.
tell 'compadd() { local -a hits; builtin compadd -O hits "$@"; print -rl -- "="$^hits; builtin compadd "$@" }'
tell 'ask() { print; _main_complete; compstate[insert]=; compstate[list]=; print "=""END" }'
tell 'zle -C ask complete-word ask; bindkey "^X" ask; print "REA""DY"'
zpty -r -m shell said '*READY*' || exit 1
for line in "${@:2}"; do
    zpty -w -n shell $'\x15'"$line"$'\x18'
    zpty -r -m shell said '*=END*' || exit 1
    print -r -- "$said"
done
zpty -d shell
