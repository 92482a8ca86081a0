"""Work over processes: in order, and a sentence where one is killed."""

import os

import pytest

from cellkit.errors import UserError
from data_prep.cores import in_processes

# Evaluated there: a spawned process can't import a test module.
OWN_ID = '__import__("os").getpid()'
THREADS = '__import__("cv2").getNumThreads()'
DIE = '__import__("os")._exit(1)'


@pytest.mark.parametrize('workers', [1, 2])
def test_results_come_in_the_order_of_the_items(workers):
    assert list(in_processes(abs, range(-9, 0), workers)) == list(range(9, 0, -1))


def test_too_little_work_stays_in_this_process():
    assert set(in_processes(eval, [OWN_ID] * 7, 2, each=4)) == {os.getpid()}
    assert os.getpid() not in set(in_processes(eval, [OWN_ID] * 8, 2, each=4))
    assert list(in_processes(abs, [])) == []


def test_opencv_takes_one_thread_a_process():
    assert set(in_processes(eval, [THREADS] * 2, 2)) == {1}


def test_a_process_that_dies_is_one_sentence():
    with pytest.raises(UserError, match=r'a worker process was killed, .* fewer with --workers$'):
        list(in_processes(eval, [DIE] * 2, 2))
