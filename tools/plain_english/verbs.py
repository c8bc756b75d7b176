"""A sentence has a subject and a verb: this module finds both without a grammar, by a list of verbs."""

import re

_VERBS = """
accept account add adopt agree allocate allow answer append apply ask assert attach avoid back balance base become begin
belong boot bound bring build call cancel carry change check choose claim clean clear clone close collect combine come
commit compare compile complete compute configure connect consist contain continue convert copy correspond cost count
cover create cut damage deactivate deal decide decode decompress define defer delay delete deliver depend derive describe
detach detect differ discard divide do draw drive drop dump encode end enforce ensure enter erase evict exchange exercise
exist expect explain expose express extend extract fail feed fetch fill filter find finish fit fix flush follow force
forget fork form format forward free freeze generate get give go grant group grow guard handle happen have help hide hold
identify ignore implement import include increase indicate inject insert inspect install interrupt invoke join judge keep
kill know last lead leak learn leave let lie limit link list listen live load lock look lose make map mark match mean
measure meet merge miss mount move multiply name need notice number obey observe occur offer open order overwrite own
pack parse partition pass patch pause perform pin place plan play point predict prefer prepare present prevent print
process produce prove provide provision publish pull punch push put queue raise reach react read rebuild receive record
recover reduce refer refresh refuse register reject release rely remain remember remove rename render repair repeat
replace replay report represent request require reserve reset resolve restore result resume retry return reuse run
satisfy save scale scan schedule search see select send separate serve set settle share shield show shrink shut simulate
skip sleep snapshot sort specify spell spend split spread stage start state stop store stream submit succeed suffice sum
supply support suspend swap switch take target tear test thaw throw tie time touch trace track transfer translate treat
trigger trim truncate try turn undo unify unite unmap unmount unpack update use validate vary verify violate visit wait
wake walk want warn watch work wrap write yield zero
""".split()
_ALWAYS = frozenset(
    "is are was were has have had can cannot could must may might will would does do did be been am "
    "became began broke brought built came chose found gave got grew held kept knew led left lost made met ran read "
    "saw sent took went wrote needs".split()
)
_RELATIVES = re.compile(r"\b(that|which|who|whose|whom)\b", re.IGNORECASE)
_NOUNS_TOO = frozenset(
    "answer base block boot call change check claim clone commit copy cost cut damage delay discard draw drive drop "
    "dump end exchange exercise fill filter fit fix flush force fork form format free group guard help hold import join "
    "kill lead leak limit link list load lock look map mark match measure mount move name need number offer open order "
    "pack patch pause place plan play point present process punch queue record release repair repeat report request "
    "reserve reset result return run sample scale scan search set share show sleep snapshot sort split spread stage "
    "start state stop store stream sum supply support swap switch target test time touch trace track transfer trigger "
    "trim turn update use visit wait walk watch work wrap write yield zero".split()
)


def _third_persons(verb: str) -> tuple[str, ...]:
    if verb.endswith("y") and verb[-2] not in "aeou":
        return (verb[:-1] + "ies",)
    return (verb + "s", verb + "es")


_THIRD_PERSON = frozenset(form for verb in _VERBS for form in _third_persons(verb)) | {
    "has",
    "does",
    "is",
    "goes",
}
_PLURAL = frozenset(_VERBS) - _NOUNS_TOO


def _words(sentence: str) -> list[str]:
    return re.findall(r"[A-Za-z][A-Za-z'_.-]*|`[^`]*`|\*[^*]*\*", sentence)


def lacks_subject_or_verb(sentence: str) -> str:
    """Return the reason why *sentence* is none, or an empty string.

    A relative pronoun takes one verb for its clause, so "A pool that maps blocks." lacks its own.
    """
    words = _words(sentence)
    if not words:
        return "empty"
    first = words[0].lower()
    if first in _THIRD_PERSON:
        return "no subject: begin with the thing, not with the verb"
    verbs = sum(word.lower().strip(".'") in _ALWAYS | _THIRD_PERSON | _PLURAL for word in words[1:])
    if verbs <= len(_RELATIVES.findall(" ".join(words[1:]))):
        return "no verb: write a whole sentence"
    return ""


def begins_with_a_verb(sentence: str) -> bool:
    """Return whether *sentence* is an order, as PEP 257 asks of a function: Return the size."""
    words = _words(sentence)
    return bool(words) and words[0].lower() in frozenset(_VERBS)
