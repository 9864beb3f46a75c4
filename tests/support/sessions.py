"""Conversations in the schemas of LoCoMo and LongMemEval, small enough to be checked by eye."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]


def turn(session: int, number: int, text: str, **more: Any) -> Row:
    speaker = "Ada" if number % 2 else "Bo"
    return {"speaker": speaker, "dia_id": f"D{session}:{number}", "text": text, **more}


def asked(category: int, question: str, answer: object, *evidence: str) -> Row:
    return {"question": question, "answer": answer, "evidence": list(evidence), "category": category}


def locomo(number: int = 1) -> Row:
    """Two sessions and one without turns, and a question of each category."""
    picture = {"img_url": ["http://nowhere/a.jpg"], "blip_caption": "a photo of a red kite", "query": "kite"}
    trap = {"question": "What did Bo lose?", "adversarial_answer": "a kite", "evidence": ["D2:1"], "category": 5}
    return {
        "sample_id": f"conv-{number}",
        "conversation": {
            "speaker_a": "Ada",
            "speaker_b": "Bo",
            "session_10_date_time": "9:00 am on 2 June, 2023",
            "session_10": [turn(10, 1, "I gave my kite to Cy.")],
            "session_2_date_time": "1:56 pm on 8 May, 2023",
            "session_2": [turn(2, 1, "I made this yesterday!", **picture), turn(2, 2, "I bake and I swim.")],
            "session_3_date_time": "1:56 pm on 9 May, 2023",
            "session_3": [],
        },
        "qa": [
            asked(1, "What does Bo do?", "baking, swimming", "D2:2"),
            asked(2, "When did Ada make a kite?", "7 May 2023", "D2:1"),
            asked(3, "Is Ada crafty?", "Yes; she makes kites", "D2:1; D10:1"),
            asked(4, "How many people got the kite?", 1, "D:10:1", "D9:9"),
            trap,
        ],
        "observation": {},
        "session_summary": {},
        "event_summary": {},
    }


def longmemeval(name: str = "q1", kind: str = "knowledge-update", **changes: Any) -> Row:
    """Three sessions out of order; the fact changes from the first to the last by date."""
    row = {
        "question_id": name,
        "question_type": kind,
        "question": f"Where do I keep my bike, {name}?",
        "answer": "in the shed",
        "question_date": "2023/05/30 (Tue) 23:40",
        "haystack_session_ids": [f"{name}-b", f"{name}-c", f"{name}-a"],
        "haystack_dates": ["2023/05/21 (Sun) 09:00", "2023/05/25 (Thu) 18:10", "2023/05/20 (Sat) 02:21"],
        "haystack_sessions": [
            [{"role": "user", "content": "What is a fugue?"}, {"role": "assistant", "content": "A piece in parts."}],
            [{"role": "user", "content": "My bike is in the shed now. ", "has_answer": True}],
            [
                {"role": "user", "content": "My bike is in the hall.", "has_answer": True},
                {"role": "assistant", "content": "Noted.", "has_answer": False},
            ],
        ],
        "answer_session_ids": [f"{name}-a", f"{name}-c"],
    }
    return row | changes
