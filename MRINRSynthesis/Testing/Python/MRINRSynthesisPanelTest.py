"""Presses the buttons of the MRINRSynthesis panel, inside Slicer or on the project's stand-in for it."""

import time
import unittest

import slicer


class MRINRSynthesisPanelTest(unittest.TestCase):
    def setUp(self):
        from MRINRLib import install

        slicer.mrmlScene.Clear()
        self.panel = slicer.util.getModuleWidget("MRINRSynthesis")
        self.panel.enter()
        if not install.hasTorch() or not self.panel.logic.models.targets("auto", ["T1"]):
            self.skipTest("PyTorch or a model is missing")

    def tearDown(self):
        self.panel.exit()

    def waitFor(self, condition, seconds=300):
        end = time.time() + seconds
        while not condition():
            self.assertLess(time.time(), end, "waited too long")
            slicer.app.processEvents()
            time.sleep(0.02)

    def isIdle(self):
        return self.panel.ui.applyButton.text == "Apply"

    def fill(self):
        import MRINRSynthesis

        head = MRINRSynthesis.MRINRSynthesisTest().averageHead()
        self.panel.ui.fillButton.click()
        self.assertEqual(self.panel.ui.inputsTable.rowCount, 1)
        return head

    def test_ApplyMakesTheMissingSequence(self):
        head = self.fill()
        target = self.panel.ui.targetBox.currentText
        self.assertTrue(self.panel.ui.applyButton.enabled, self.panel.ui.applyButton.toolTip)
        self.panel.ui.applyButton.click()
        self.assertFalse(self.isIdle())
        self.waitFor(self.isIdle)
        self.assertEqual(self.panel.ui.messageLabel.text, "")
        result = slicer.util.getNode(target + " (synthetic)")
        self.assertEqual(result.GetImageData().GetDimensions(), head.GetImageData().GetDimensions())
        self.assertIn("SYNTHETIC", self.panel.ui.reasonLabel.text)

    def test_CancelLeavesNothingBehind(self):
        self.fill()
        before = slicer.mrmlScene.GetNumberOfNodes()
        self.panel.ui.applyButton.click()
        self.waitFor(lambda: self.panel.ui.progressBar.value > 0)
        self.panel.ui.applyButton.click()
        self.waitFor(self.isIdle)
        self.assertIn("Cancelled", self.panel.ui.messageLabel.text)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), before)

    def test_ApplySaysWhyItCannotWork(self):
        self.assertFalse(self.panel.ui.applyButton.enabled)
        self.assertIn("Fill from study", self.panel.ui.applyButton.toolTip)
